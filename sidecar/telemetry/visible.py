"""Foreign text on its way to a person: what a terminal would obey is shown instead.

An event's data, an error's message or a variable's name may hold sequences that clear a screen,
write the clipboard, or turn the order of letters round. They appear as Python escapes, in JSON as
JSON's own.
"""

import re
import unicodedata
from typing import Final

_RARE: Final = re.compile(r"[^ -~]")
_RARE_IN_LINES: Final = re.compile(r"[^ -~\n\t]")
# Control and format characters, halves of characters, separators of lines.
_OBEYED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Scripts and emoji are written with them.
_JOINERS: Final = "\u200c\u200d"


def visible(text: str) -> str:
    """Return a text as one line that a terminal only prints."""
    return _RARE.sub(_escape, text)


def visible_lines(text: str) -> str:
    """Return a text that a terminal only prints, with its own line ends and tabs."""
    return _RARE_IN_LINES.sub(_escape, text)


def visible_json(document: str) -> str:
    """Return the same JSON document in letters that a terminal only prints."""
    return _RARE_IN_LINES.sub(_escape_for_json, document)


def _is_obeyed(letter: str) -> bool:
    return unicodedata.category(letter) in _OBEYED and letter not in _JOINERS


def _escape(found: re.Match[str]) -> str:
    letter = found[0]
    return letter.encode("unicode_escape").decode("ascii") if _is_obeyed(letter) else letter


def _escape_for_json(found: re.Match[str]) -> str:
    letter = found[0]
    if not _is_obeyed(letter):
        return letter
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
