"""Colours and icons, for light and for dark.

Plain rules with plain colours rather than CSS variables: viewers other than browsers draw the light ones then.
Text colours keep a contrast of at least 4.5 to 1 on their grounds in both.
"""

from __future__ import annotations

# name: (light, dark); `tint` is the ground behind an icon or in a pill.
_FAMILY = {
    "dataset": (("#2459c4", "#e6effd"), ("#8ab4ff", "#1d2f50")),
    "model": (("#6d3fc4", "#f0e9fd"), ("#c2a5ff", "#34264f")),
    "metrics": (("#0b6e62", "#dff4f0"), ("#5fd0bf", "#153a37")),
    "environment": (("#86590a", "#fbf0d9"), ("#e3b863", "#3b2f18")),
    "label": (("#a72c6b", "#fce8f2"), ("#f19ac4", "#47203a")),
    "other": (("#475569", "#e9edf2"), ("#a9b6c8", "#29323f")),
}
_STATUS = {
    "complete": (("#166b3a", "#def3e5"), ("#71d299", "#173825")),
    "failed": (("#b01c1c", "#fde5e5"), ("#ff9a94", "#4a1f20")),
    "running": (("#1d5fa8", "#e0eefc"), ("#84bdf5", "#18324d")),
    "aborted": (("#98480c", "#fdebdc"), ("#f2ac75", "#45291a")),
    "unknown": (("#56616f", "#e9edf2"), ("#a9b6c8", "#29323f")),
}
_PLAIN = {  # selector: (property, light, dark)
    ".ground": ("fill", "#f6f7f9", "#0f141b"),
    ".sheet": ("fill", "#ffffff", "#1a212b"),
    ".execution .sheet": ("fill", "#fafbfd", "#1e2733"),
    ".edge-line": ("stroke", "#cfd6df", "#374252"),
    ".ink": ("fill", "#18212d", "#e8edf4"),
    ".soft": ("fill", "#566273", "#a2aebe"),
    ".root .edge-line": ("stroke", "#2459c4", "#8ab4ff"),
    ".halo": ("stroke", "#2459c4", "#8ab4ff"),
    ".tag-root .pill": ("fill", "#2459c4", "#8ab4ff"),
    ".tag-root text": ("fill", "#ffffff", "#0f141b"),
    ".tag-gone .pill": ("fill", "#566273", "#a2aebe"),
    ".tag-gone text": ("fill", "#ffffff", "#0f141b"),
    ".failed .edge-line": ("stroke", "#d96a6a", "#b8504f"),
    ".failed .sheet": ("fill", "#fff7f7", "#2b1d21"),
    ".error": ("fill", "#b01c1c", "#ff9a94"),
    ".wire-label": ("fill", "#3f4a59", "#c3cddb"),
    ".wire-label ": ("stroke", "#f6f7f9", "#0f141b"),
    ".wire.back .line": ("stroke", "#c2410c", "#fb923c"),
    ".wire.back .head": ("fill", "#c2410c", "#fb923c"),
    ".truncated": ("fill", "#98480c", "#f2ac75"),
    ".whole": ("fill", "#166b3a", "#71d299"),
}
_SHAPE = """\
.cmf text{font-family:Inter,"Segoe UI","Helvetica Neue",Arial,"Liberation Sans",sans-serif;font-size:11.5px}
.cmf .name{font-size:13.5px;font-weight:600}.cmf .heading{font-size:18px;font-weight:650}.cmf .scope{font-size:13px}
.cmf .key{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;font-size:10px}
.cmf .detail{font-size:11px}
.cmf .end{text-anchor:end}.cmf .mid{text-anchor:middle}.cmf .strong{font-weight:600}
.cmf .status,.cmf .tag text{font-size:10.5px;font-weight:600}
.cmf .edge-line{fill:none;stroke-width:1}.cmf .failed .edge-line{stroke-width:1.5}
.cmf .root .edge-line{stroke-width:2}.cmf .halo{fill:none;stroke-width:7;stroke-opacity:.18}
.cmf .icon{fill:none;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
.cmf .line{fill:none;stroke-width:1.5;stroke-opacity:.62}.cmf .head{fill-opacity:.85}
.cmf .back .line{stroke-dasharray:6 4;stroke-opacity:1}
.cmf .wire-label{font-size:10.5px;paint-order:stroke;stroke-width:4px;stroke-linejoin:round}
.cmf .retracted .edge-line,.cmf .stub .edge-line{stroke-dasharray:5 4}
.cmf .retracted .inside,.cmf .stub .inside{opacity:.58}.cmf .retracted .name{text-decoration:line-through}
.cmf .wire.retracted .line{stroke-dasharray:2 4}.cmf .wire.retracted{opacity:.6}
"""

# 20 by 20, drawn in lines: a stack of discs, a net, bars, a terminal, a tag, a sheet.
ICONS = {
    "dataset": "M3 5c0-3 14-3 14 0s-14 3-14 0v10c0 3 14 3 14 0v-10M3 10c0 3 14 3 14 0",
    "model": "M4.5 5.5h.01M4.5 14.5h.01M15.5 10h.01M6 6.2l7.2 3M6 13.8l7.2-3"
    "M6.5 5.5a2 2 0 1 1-4 0a2 2 0 1 1 4 0M6.5 14.5a2 2 0 1 1-4 0a2 2 0 1 1 4 0M17.5 10a2 2 0 1 1-4 0a2 2 0 1 1 4 0",
    "metrics": "M3 17h14M5 17v-5M10 17v-12M15 17v-8",
    "environment": "M3 4h14v12h-14zM6 8l2.5 2l-2.5 2M10.5 12.5h3.5",
    "label": "M3 4h6l8 8l-6 6l-8-8zM6.5 7.5h.01",
    "other": "M5 2.5h7l3.5 3.5v11.5h-10.5zM12 2.5v3.5h3.5",
}


def stylesheet() -> str:
    """The rules of a drawing; all of them are under `.cmf`, so that they touch nothing else in a page."""
    return f"{_SHAPE}{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}"


def _rules(mode: int) -> str:
    rules = [f".cmf {name}{{{(prop)}:{(light, dark)[mode]}}}" for name, (prop, light, dark) in _PLAIN.items()]
    for group in (_FAMILY, _STATUS):
        for name, modes in group.items():
            colour, tint = modes[mode]
            rules.append(
                f".cmf .{name} .tint{{fill:{tint}}}.cmf .{name} .icon{{stroke:{colour}}}"
                f".cmf .{name} .hue{{fill:{colour}}}.cmf .wire.{name} .line{{stroke:{colour}}}"
            )
    # A loop's colour says more than its artifact's type does, so it comes last.
    return "".join(sorted(rules, key=lambda rule: ".back" in rule)) + "\n"
