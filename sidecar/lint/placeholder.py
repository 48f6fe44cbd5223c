"""Values that only hold the place of a secret, recognised by their shape.

Entropy is no help here: a sentence about a secret has more of it than a good hexadecimal key.
The shapes are those of published example files. Each must be all but impossible for a generated
secret to have, so a word counts only where it stands alone, between separators, and not among the
strange words of a passphrase.
"""

import base64
import re

from sidecar.lint.shape import (
    HEXSPEAK,
    HINTS,
    MASKED,
    PLAIN_WORD,
    PREFIX,
    REPEAT,
    REPEATED_END,
    STRONG,
    UNFILLED,
    WALKS,
    WEAK,
    WORD_AND_RUN,
    Shape,
)
from sidecar.lint.spelling import is_spelled_like_a_word
from sidecar.lint.vocabulary import is_phrase, plain, stepping_share, strange_letters, tokens_of

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SHORTEST_ENCODED = 16
_SIGNS = re.compile(r"[^A-Za-z0-9]+")
_DIGIT = re.compile(r"[0-9]")
_NOT_LETTERS = re.compile(r"[^A-Za-z]+")
_LONGEST = 256
_LONGEST_WORDY = 120
_MOST_DIGITS_AMONG_WORDS = 4
_MOST_DIGITS_BEFORE = 8
_GLANCE = 12
_SHORT_WORD = 3
_SHORTEST_RUN = 6
_LONGEST_NUMBER = 8
_MOST_STRANGE = 12
_SEQUENTIAL_SHARE = 0.7


def shape_of(value: str, name: str = "") -> Shape | None:
    """Return which shape of placeholder a value has; `None` when it may be a real secret.

    An empty value is missing, which is another subject. A placeholder may repeat words of `name`.
    """
    bare = value.strip()
    # No placeholder is that long, and no pattern shall spend time on a megabyte.
    if not bare or len(bare) > _LONGEST:
        return Shape.REPEAT if bare and len(set(bare)) == 1 else None
    if UNFILLED.fullmatch(bare):
        return Shape.BRACKETS
    shape = _spoken(bare, name) or _patterned(bare)
    return shape or _hidden(_decoded(bare), name)


def _hidden(decoded: str, name: str) -> Shape | None:
    """Return the shape of what was only encoded; a run inside of it proves nothing."""
    if not decoded:
        return None
    return _spoken(decoded, name) or (Shape.WORDS if _is_made_of_words(decoded) else None)


def _decoded(bare: str) -> str:
    """Return what base64 hides when it is plain text; a random key never decodes to any."""
    if len(bare) < _SHORTEST_ENCODED or not _BASE64.fullmatch(bare):
        return ""
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4)).decode("ascii")
    except ValueError:
        return ""
    return text if text.isprintable() else ""


def _spoken(bare: str, name: str) -> Shape | None:
    """Return the shape of what a person wrote."""
    if MASKED.fullmatch(bare):
        return Shape.MASK
    lower = bare.lower()
    is_spoken = not bare.isascii() or any(hint in lower for hint in HINTS)
    patterns = (*STRONG, *(() if is_phrase(bare) else WEAK)) if is_spoken else ()
    for shape, pattern in patterns:
        if pattern.fullmatch(bare):
            return shape
    return Shape.VARIABLE_NAME if _repeats_name(bare, name) else None


def _patterned(bare: str) -> Shape | None:
    """Return the shape of what was typed as a pattern."""
    body = _SIGNS.sub("", bare)
    patterns = (REPEAT, REPEATED_END)
    is_repeat = any(each.fullmatch(text) for each in patterns for text in {bare, body})
    if is_repeat or HEXSPEAK.fullmatch(body):
        return Shape.REPEAT
    if _is_sequence(bare):
        return Shape.SEQUENCE
    if _is_plain_word(bare) or (_is_made_of_words(bare) and not is_phrase(bare)):
        return Shape.WORDS
    return None


def _is_plain_word(bare: str) -> bool:
    return PLAIN_WORD.fullmatch(bare) is not None and is_spelled_like_a_word(
        _NOT_LETTERS.sub("", bare)
    )


def _repeats_name(value: str, name: str) -> bool:
    """Return True when a value is its name, or begins a word of it: `MILVUS_PASSWORD=Milvus`."""
    if _DIGIT.search(value):
        return False
    called, said = "".join(tokens_of(name)), "".join(tokens_of(value))
    begins = len(said) > len("is") and any(word.startswith(said) for word in tokens_of(name))
    return bool(said) and bool(called) and (called.endswith(said) or begins)


def _is_made_of_words(value: str) -> bool:
    """Return True when words for secrets outweigh what is strange in it; digits may be few."""
    if len(value) > _LONGEST_WORDY or len(_DIGIT.findall(value)) > _MOST_DIGITS_BEFORE:
        return False
    text = plain(value)
    if len(_DIGIT.findall(text)) > _MOST_DIGITS_AMONG_WORDS:
        return False
    strange = speaking = 0
    tokens = tokens_of(text)
    for run in tokens:
        odd, known = strange_letters(run)
        strange, speaking = strange + odd, speaking + known
        if strange > _MOST_STRANGE:
            return False
    if len(tokens) > 1 and not strange and len(text) > _LONGEST_NUMBER:
        return True
    allowed = speaking + 2 if speaking > _SHORT_WORD else speaking
    return speaking > 0 and strange <= allowed


def _is_sequence(value: str) -> bool:
    if WALKS.fullmatch(value) or WORD_AND_RUN.fullmatch(value):
        return True
    body = _SIGNS.sub("", PREFIX.sub("", value)).lower()
    if body.isdigit() and len(body) <= _LONGEST_NUMBER and body == value:
        return True
    glance = body[:_GLANCE]
    shares = (stepping_share(glance), stepping_share(glance[::2]))
    if len(body) < max(_SHORTEST_RUN, len(value) * 2 // 3) or max(shares) < _SEQUENTIAL_SHARE / 2:
        return False
    # One run, or two that alternate: a1b2c3d4.
    halves = (body[::2], body[1::2]) if len(body) > _SHORTEST_RUN + 1 else ("",)
    return min(map(stepping_share, halves)) >= _SEQUENTIAL_SHARE or (
        stepping_share(body) >= _SEQUENTIAL_SHARE
    )
