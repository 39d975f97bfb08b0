"""Pictures of a lineage: pure functions from a `Lineage` to text, which whoever calls them writes or prints.

    to_svg      a file for a page or a report          to_tree      a tree for the terminal (rich)
    to_html     a page to pan, zoom and click          to_dot       Graphviz
                                                       to_mermaid   Markdown

One `layout` (cards in columns, wires around them) serves the SVG and the page; one set of `labels` serves all. Each
picture says whether the answer it shows is complete. Names are anybody's text: each format escapes them its own way.
`without` leaves artifacts of a type out of any of them.
"""

from cmf.pictures.dot import to_dot
from cmf.pictures.html import to_html
from cmf.pictures.leaving_out import without
from cmf.pictures.mermaid import to_mermaid
from cmf.pictures.svg import to_svg
from cmf.pictures.tree import to_tree

__all__ = ["to_dot", "to_html", "to_mermaid", "to_svg", "to_tree", "without"]
