"""Foreign text on its way to a person: what a terminal would obey is shown instead.

An event's data, an error's message or a variable's name may hold sequences that clear a screen,
write the clipboard, or turn the order of letters round. They appear as Python escapes, in JSON as
JSON's own.
"""

import re
from typing import Final

# C0, DEL and C1; soft hyphen, bidi marks, overrides and isolates; line and paragraph separators;
# what is invisible; lone surrogates; tags. The two joiners that scripts and emoji are written with
# stay.
_RANGES: Final = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u070f\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
)
_OBEYED: Final = re.compile(f"[{_RANGES}]")
_OBEYED_IN_LINES: Final = re.compile(rf"(?![\n\t])[{_RANGES}]")


def visible(text: str) -> str:
    """Return a text as one line that a terminal only prints."""
    return text if text.isascii() and text.isprintable() else _OBEYED.sub(_escape, text)


def visible_lines(text: str) -> str:
    """Return a text that a terminal only prints, with its own line ends and tabs."""
    return _OBEYED_IN_LINES.sub(_escape, text)


def visible_json(document: str) -> str:
    """Return the same JSON document in letters that a terminal only prints."""
    return document if document.isascii() else _OBEYED_IN_LINES.sub(_escape_for_json, document)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _escape_for_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
