"""Figures of notebooks, which come without words: what stands above them says what one sees."""

from typing import Any

from docutils import nodes


def describe(app: Any, doctree: nodes.document) -> None:
    """Give each figure of a notebook the paragraph above its cell as its text."""
    said = ""
    for node in doctree.findall(lambda n: isinstance(n, nodes.paragraph | nodes.image)):
        if isinstance(node, nodes.paragraph):
            said = " ".join(node.astext().split())
        elif not node.get("alt") and _in_cell(node):
            node["alt"] = said


def _in_cell(node: nodes.Node) -> bool:
    parent = node.parent
    while parent is not None and "cell" not in parent.get("classes", ()):
        parent = parent.parent
    return parent is not None
