"""References inside of values, filled in with a bound: each may double what it stands in."""

import re
from collections.abc import Callable, Iterable

# Linux gives a process at most 128 KiB in one variable; beyond that, how long makes no difference.
LONGEST = 256 * 1024


def fill_in(pattern: re.Pattern[str], text: str, value_of: Callable[[re.Match[str]], str]) -> str:
    """Replace what matches, up to the length that no process can be given."""
    if "$" not in text:
        return text

    def parts() -> Iterable[str]:
        end = 0
        for found in pattern.finditer(text):
            yield text[end : found.start()]
            yield value_of(found)
            end = found.end()
        yield text[end:]

    return join_bounded(parts())


def join_bounded(parts: Iterable[str]) -> str:
    """Join parts until they are longer than any process can be given."""
    kept: list[str] = []
    room = LONGEST
    for part in parts:
        kept.append(part)
        room -= len(part)
        if room < 0:
            break
    return "".join(kept)
