"""YAML as nodes that know their lines: for compose files and Kubernetes manifests."""

from collections.abc import Iterator

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Documents = list[Node]

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


def documents(text: str) -> Documents:
    """Parse every document; nothing is built from tags, and aliases stay aliases.

    Raises:
        yaml.YAMLError: It is not YAML; the text stands in the error.
        ValueError: A character or a number of it cannot be.
        RecursionError: It is too deep.
    """
    return list(yaml.compose_all(text, Loader=yaml.CSafeLoader))


def entries(node: Node | None) -> dict[str, Node]:
    """Return keys and values of a mapping, before those merged in; of anything else, nothing.

    Each mapping is merged once: merged again it adds nothing, and a few aliases make millions.
    """
    if not isinstance(node, MappingNode):
        return {}
    # Kept on the node, which many aliases may stand for.
    kept: dict[str, Node] | None = vars(node).get("flat")
    if kept is None:
        kept = vars(node)["flat"] = _merged(node)
    return kept


def _merged(node: MappingNode) -> dict[str, Node]:
    found: dict[str, Node] = {}
    seen: set[int] = set()
    waiting: list[Node] = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, MappingNode) and id(each) not in seen:
            seen.add(id(each))
            # Of two keys in one mapping the later one wins, of two mappings the earlier one.
            for key, value in _entries(each).items():
                found.setdefault(key, value)
            waiting += reversed(list(_merges(each)))
    return found


def _entries(node: MappingNode) -> dict[str, Node]:
    return {
        key.value: value
        for key, value in node.value
        if isinstance(key, ScalarNode) and key.tag != _MERGE
    }


def _merges(node: MappingNode) -> Iterator[Node]:
    for key, value in node.value:
        if key.tag == _MERGE:
            yield from items(value) or (value,)


def items(node: Node | None) -> tuple[Node, ...]:
    """Return the members of a sequence; of anything else, nothing."""
    return tuple(node.value) if isinstance(node, SequenceNode) else ()


def child(node: Node | None, *path: str) -> Node | None:
    """Follow keys down; `None` where one is missing."""
    for name in path:
        node = entries(node).get(name)
    return node


def text_of(node: Node | None) -> str:
    """Return a scalar as it was written, and nothing for null or what is no scalar."""
    return node.value if isinstance(node, ScalarNode) and node.tag != _NULL else ""


def is_null(node: Node) -> bool:
    """Return True for a key without a value, False for one with an empty text."""
    return isinstance(node, ScalarNode) and node.tag == _NULL


def line_of(node: Node) -> int:
    """Return where a node begins, counted from 1."""
    return int(node.start_mark.line) + 1
