"""Marks around a value that editors, shells and container tools leave behind."""

import re

_BYTE_ORDER_MARK = "\ufeff"
_QUOTES = ("'", '"')


def tidy(value: str) -> str:
    """Drop a byte order mark, blanks, carriage returns and one pair of quotes around a value."""
    bare = value.removeprefix(_BYTE_ORDER_MARK).strip()
    return bare[1:-1].strip() if is_quoted(bare) else bare


def uncommented(value: str) -> str:
    """Return a tidied value without the comment that a tool has kept behind it."""
    return tidy(re.split(r"\s#", value, maxsplit=1)[0])


def is_quoted(value: str) -> bool:
    """Return True when a value still wears the quotes that a shell would have taken off."""
    return len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES


def has_mark(value: str) -> bool:
    """Return True when a value begins with a byte order mark."""
    return value.startswith(_BYTE_ORDER_MARK)
