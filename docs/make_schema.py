"""Write the JSON Schemas of the wire from the code: `python docs/make_schema.py`. A test holds them equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from cmf.core.bundles import BundleHeader, EndOfBundle
from cmf.core.lineage import Question
from cmf.core.model import Lineage, NodeDetail, Page, Series, SeriesList, SeriesOfMany, Stats
from cmf.core.records import Header, Record, Stamped
from cmf.core.series import SeriesQuestion
from cmf.core.wire import PullQuestion, Received

FOLDER = Path(__file__).with_name("schema")
SCHEMAS = {
    "journal": ("A line of a journal: a header first, then records.", Header | Record),
    "pull": ('A line of a pull but the last, which is {"end": <number of operations>}.', Stamped),
    "bundle": (
        "The first and the last line of a bundle; between them are those of journals.",
        BundleHeader | EndOfBundle,
    ),
    "questions": ("Bodies of requests.", Question | PullQuestion | SeriesQuestion),
    "answers": ("Bodies of answers.", (Lineage, NodeDetail, Page, Series, SeriesList, SeriesOfMany, Stats, Received)),
}


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by its file's name."""
    return {f"{name}.schema.json": _schema(told, form) for name, (told, form) in SCHEMAS.items()}


def _schema(told: str, form: Any) -> dict[str, Any]:
    forms = form if isinstance(form, tuple) else form.__args__ if hasattr(form, "__args__") else (form,)
    found, components = msgspec.json.schema_components(forms, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": told,
        "anyOf": list(found),
        "$defs": components,
    }


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / name).write_text(json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
