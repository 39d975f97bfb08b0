"""The pure core: what an operation is, what it means, and what a lineage is. No I/O happens here.

An operation travels: `operations` (what it says) → `records` (its place in a journal) → `delta` (what it
changes, `apply`) → a `store` (which joins the delta) → `lineage` (what can be asked of it).
"""
