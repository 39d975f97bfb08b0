"""What a picture leaves out of an answer so that it can be read."""

from __future__ import annotations

import msgspec

from cmf.core.model import Artifact, Lineage, Node


def without(lineage: Lineage, type_: str) -> Lineage:
    """The answer without artifacts that are of this type alone; what was asked for itself stays."""
    kept = tuple(node for node in lineage.nodes if node.key in lineage.roots or not _is_only(node, type_))
    keys = {node.key for node in kept}
    edges = tuple(edge for edge in lineage.edges if edge.source in keys and edge.target in keys)
    return msgspec.structs.replace(lineage, nodes=kept, edges=edges)


def _is_only(node: Node, type_: str) -> bool:
    return isinstance(node, Artifact) and node.types == (type_,)
