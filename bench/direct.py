"""Direct mode: from a call to its being seen on the server, and what it costs the call."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx

import cmf
from bench.figures import Figure, Section, median, p95
from bench.plan import Plan
from bench.turns import in_turns, timed
from bench.workshop import Workshop
from cmf import settings
from cmf.core.errors import UnknownKey
from cmf.recording import close_repositories
from cmf.remote import Remote
from cmf.repository import Repository

_PAUSE_SECONDS = 0.02
"""Between calls, as between the steps of a pipeline: what is sent together with the one before proves nothing."""


def measure(plan: Plan, workshop: Workshop) -> list[Section]:
    """Into the embedded store, over loopback."""
    section = Section(
        "Sending what is recorded at once",
        "The limit of a call that is seen on the server is the same statement posted to it with httpx and looked at as "
        "often. The limit of the call itself is the same call in a clone that sends nothing.",
    )
    with workshop.server(f"sqlite:///{workshop.new_folder('direct') / 'store.db'}") as server:
        continuous, manual = _clone(workshop, server.url), _clone(workshop, None)
        with (
            cmf.run("bench", "direct", root=continuous) as sent,
            cmf.run("bench", "direct", root=manual) as kept,
            httpx.Client(base_url=server.url) as bare,
        ):
            remote = Remote(server.url)
            numbers = iter(range(1_000_000))
            seconds = in_turns(
                plan.recordings,
                {
                    "seen": lambda: _seen(remote, sent.key, next(numbers), lambda n: sent.set(n=n)),
                    "posted": lambda: _seen(remote, sent.key, next(numbers), lambda n: _post(bare, sent.key, n)),
                    "call": timed(lambda: sent.set(call=1)),
                    "bare": timed(lambda: kept.set(call=1)),
                },
            )
            remote.close()
    close_repositories()
    milliseconds = {name: sorted(1000 * second for second in taken) for name, taken in seconds.items()}
    seen = milliseconds["seen"]
    beside = f"p95 {p95(seen):.1f} ms, p99 {seen[int(0.99 * (len(seen) - 1))]:.1f} ms"
    section.figures = [
        Figure(
            "a call, until the server shows it", median(seen), "ms", median(milliseconds["posted"]), "≤ 100 ms", beside
        ),
        Figure("the call itself", median(milliseconds["call"]), "ms", median(milliseconds["bare"]), "not slower"),
    ]
    return [section]


def _clone(workshop: Workshop, server: str | None) -> Path:
    root = workshop.new_folder("clone")
    repository = Repository.create(root)
    more = {"server": server, "push": "continuous"} if server else {}
    settings.save(repository.folder / "config.toml", versioning="none", **more)
    repository.close()
    return root


def _seen(remote: Remote, key: str, number: int, state: Callable[[int], object]) -> float:
    """The seconds from a statement's beginning until the server shows it."""
    time.sleep(_PAUSE_SECONDS)
    began = time.perf_counter()
    state(number)
    while True:
        try:
            if remote.detail(key, 1).node.properties.get("n") == number:
                return time.perf_counter() - began
        except UnknownKey:  # the execution itself is not there yet
            pass


def _post(bare: httpx.Client, key: str, number: int) -> None:
    operation = {"is": "SetProperty", "key": key, "name": "n", "value": number}
    bare.post("/v1/operations", json={"operations": [operation]}).raise_for_status()
