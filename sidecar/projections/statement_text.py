"""The text of a statement: what of it is code, and how it may be shown. Pure."""

import re
from typing import Final

# What can hold a semicolon that ends no statement; of a C comment only its beginning, since these
# comments nest.
_OPAQUE: Final = re.compile(
    r"""--[^\n]*
      | (?P<comment>/\*)
      | \bE'(?:[^'\\]|\\.|'')*'
      | '(?:[^']|'')*'
      | "(?:[^"]|"")*"
      | (?P<tag>\$(?:[A-Za-z_\x80-\uffff]\w*)?\$).*?(?P=tag)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_NUMBER: Final = re.compile(r"(?<![\w$])\d[\w.]*")
_HEAD_CHARACTERS: Final = 60


def strip(query: str, value: str) -> str:
    """Return a text without comments, and with something else in place of what is in quotes.

    Quoted names are replaced as well: what they hold is no statement either.
    """
    kept, start = [], 0
    while found := _OPAQUE.search(query, start):
        kept.append(query[start : found.start()])
        is_comment = found["comment"] is not None
        start = _end_of_comment(query, found.end()) if is_comment else found.end()
        kept.append(" " if is_comment or found[0].startswith("--") else value)
    kept.append(query[start:])
    return "".join(kept)


def _end_of_comment(query: str, start: int) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(query, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(query)


def head_of(query: str) -> str:
    """Return the beginning of a statement in one printable line, without the values in it."""
    # Far more than is shown, so that no quote is cut open.
    text = " ".join(_NUMBER.sub("?", strip(query, "?")).split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= _HEAD_CHARACTERS else printable[:_HEAD_CHARACTERS] + "..."
