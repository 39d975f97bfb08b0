"""Reproducing what another site recorded: the commit is fetched, what is missing is named, nothing is trusted."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typed import TRAIN, Site

from cmf.core.errors import FileProblem
from cmf.core.identity import manifest, md5_of
from cmf.core.records import Stamp
from cmf.repository import Repository
from cmf.reproducing.holdings import Part
from cmf.reproducing.placing import Refused, place_in, put

Make = Callable[..., Site]


def pulled(source: Site, target: Site) -> None:
    """Let a clone have another's records as if it had pulled them."""
    from cmf import pulled as segments
    from cmf.core.delta import operations

    source_clone, target_clone = Repository(source.folder), Repository.create(target.folder)
    try:
        state = source_clone.view.state(source_clone.view.all_keys())
        segments.write(target_clone.folder / "journal" / "pulled", operations(state))
        target_clone.catch_up()
    finally:
        source_clone.close()
        target_clone.close()
