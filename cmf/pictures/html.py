"""A lineage as one page: the picture to pan and zoom, and beside it whatever card is chosen."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files

from cmf.core.model import Lineage
from cmf.pictures.details import details, neighbours
from cmf.pictures.labels import headline, scope, state
from cmf.pictures.palette import ICONS
from cmf.pictures.svg import draw

_FAMILIES = {
    "dataset": "Dataset",
    "model": "Model",
    "metrics": "Metrics",
    "environment": "Environment",
    "label": "Label",
    "other": "Other",
}


def to_html(lineage: Lineage) -> str:
    """A self-contained page: it loads nothing, and its policy forbids it to."""
    mood = "complete" if lineage.complete else "truncated"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(headline(lineage))}</title><style>{_part('page.css')}</style></head><body>"
        f"<header><h1>{escape(headline(lineage))}</h1><p>{escape(scope(lineage))}</p>"
        f'<span class="state {mood}">{escape(state(lineage))}</span></header>'
        f'<main><div id="stage">{draw(lineage, titled=False)}</div>'
        f'<div id="zoom"><button id="closer" title="Zoom in (+)">+</button>'
        f'<button id="farther" title="Zoom out (−)">−</button><button id="fit" title="Fit (0)">fit</button></div>'
        f'{_legend()}<aside id="panel" hidden aria-live="polite"></aside></main>'
        f'<script type="application/json" id="lineage">{_embedded(lineage)}</script>'
        f"<script>{_part('page.js')}</script></body></html>\n"
    )


def _embedded(lineage: Lineage) -> str:
    """The page's data. With `<` written as an escape no name can end the element or open a comment in it."""
    data = {
        "roots": list(lineage.roots),
        "nodes": [details(node) for node in lineage.nodes],
        "edges": neighbours(lineage),
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _legend() -> str:
    types = "".join(
        f'<li class="{family}"><svg class="cmf" width="20" height="20" viewBox="0 0 20 20" aria-hidden="true">'
        f'<path class="icon" d="{ICONS[family]}"/></svg>{word}</li>'
        for family, word in _FAMILIES.items()
    )
    marks = "".join(
        f'<li><i class="{mark}"></i>{word}</li>'
        for mark, word in (("run", "execution"), ("failed", "failed"), ("gone", "retracted, stub"), ("loop", "loop"))
    )
    return f'<ul id="legend" class="cmf">{types}{marks}</ul>'


def _part(name: str) -> str:
    return (files("cmf.pictures") / name).read_text(encoding="utf-8")
