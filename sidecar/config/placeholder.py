"""Values that only hold the place of a secret, told by their shape.

Entropy is no help here: a sentence about a secret has more of it than a good hexadecimal key.
The shapes are those of published example files. Each must be all but impossible for a generated
secret to have, so a word counts only where it stands alone, between separators.
"""

import re
from enum import StrEnum


class Shape(StrEnum):
    """Why a value is taken for a placeholder; fit to be shown."""

    YOURS = "it speaks to the reader, like your-key-here"
    IMPERATIVE = "it asks to be changed"
    MASK = "it is masked out"
    BRACKETS = "it is a template that was not filled in"
    OWN_NAME = "it repeats the variable's name"
    MARKER = "it says of itself that it is an example"
    WORDS = "it is made of words for a secret only"
    SEQUENCE = "it is a run of letters or digits"
    REPEAT = "it repeats one pattern"


_EDGE = r"(?:^|[-_ ./:])"
_END = r"(?:$|[-_ ./:])"
_SHAPES: tuple[tuple[Shape, re.Pattern[str]], ...] = (
    (
        Shape.BRACKETS,
        re.compile(
            r"<[^<>]*>|\{\{.*\}\}|\{[\w .-]*\}|\[[A-Za-z][\w .-]*\]|\$\{[^}]*\}|\$\([^)]*\)|"
            r"\$[A-Z_][A-Z0-9_]*|%[A-Za-z_]+%|@[A-Z_]+@|__[A-Za-z][A-Za-z_ -]*__.*"
        ),
    ),
    (
        Shape.YOURS,
        re.compile(
            r"(?:.*[-_ ./:])?(?:your|yours)(?:[-_ ].*)?|(?:you|my|our)[-_ ][a-z]+(?:[-_ ][a-z]+)*|"
            r"your(?:secret|password|api|token|key|own|domain|db|database)[a-z0-9]*|"
            r".*[-_ ](?:goes[-_ ])?here[.!]?|.*(?:key|token|secret|password)here",
            re.IGNORECASE,
        ),
    ),
    (
        Shape.IMPERATIVE,
        re.compile(
            rf"(?:.*{_EDGE})?(?:change|replace|fill|set|update|edit|enter|insert|put|add|paste)"
            rf"[-_ ]?(?:me|this|it|in|that|with|before|your|the)(?:{_END}.*|[0-9!]*)|"
            r"_*(?:change|replace|generate|insert|enter|paste|get|create|obtain|fill)[-_ ]"
            r"[a-z]+(?:[-_ ][a-z0-9]+)*[-_ ]*|changeit|changed?|"
            rf"(?:.*{_EDGE})?(?:todo|tbd|fixme)(?:{_END}.*)?",
            re.IGNORECASE,
        ),
    ),
    (
        Shape.MASK,
        re.compile(
            r".*(?:x{5,}|X{5,}|\*{4,}|•{2,}|…).*|.{0,12}(?:\*{3,}|\.{3,})|(?:[a-z]{2,6}[-_])*x{2,}(?:[-_]x+)*|"
            r"[A-Za-z0-9]{0,6}X{4,}|[-_?]+",
        ),
    ),
    (
        Shape.MARKER,
        re.compile(
            rf"(?:.*{_EDGE})?(?:fake|stub|dummy|example|sample|placeholder|notreal|"
            rf"not[-_ ]a[-_ ]real|mock|bogus|user_provided|redacted)(?:{_END}.*|[0-9]*)",
            re.IGNORECASE,
        ),
    ),
)
_WORD = re.compile(
    r"a|access|account|admin|administrator|an|and|anthropic|api|apikey|app|at|auth|aws|bar|"
    r"baz|be|bearer|bot|bytes|char|character|characters|chars|client|cookie|credential|"
    r"credentials|csrf|database|db|default|demo|dev|development|encryption|foo|for|gemini|"
    r"generated|git|google|hash|here|hex|in|insecure|is|its|jwt|key|keys|least|length|letmein|local|"
    r"long|longer|master|mercurial|min|minimum|more|must|my|mypassword|mysecret|name|none|"
    r"not|null|of|openai|or|pass|passphrase|passwd|password|postgres|postgresql|private|"
    r"prod|production|project|pwd|qwerty|random|really|redis|refresh|role|root|salt|sample|"
    r"secret|secretkey|secrets|secure|session|sign|signing|sk|some|something|staging|string|"
    r"strong|super|supersecret|test|testing|that|the|this|to|token|topsecret|unsafe|use|"
    r"user|username|value|very|webhook|welcome|with"
)
_SEQUENCES = ("0123456789", "9876543210", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl")
_HEXSPEAK = re.compile(r"(?:0x)?(?:deadbeef|cafebabe|baadf00d|c0ffee|feedface)+", re.IGNORECASE)
_NAME_AND_RUN = re.compile(r"[A-Za-z]{2,20}[-_@]?(?:123|1234|12345|123456|1234567+[890]*)!?")
_REPEAT = re.compile(r"(.{1,16}?)\1{2,}", re.DOTALL)
_LONGEST = 512
_MOST_DIGITS_AMONG_WORDS = 4
_SHORTEST_RUN = 3
_LONGEST_PIN = 5


def shape_of(value: str, name: str = "") -> Shape | None:
    """Tell which shape of placeholder a value has; `None` when it may be a real secret.

    Args:
        value: The value; an empty one is missing, which is another subject.
        name: The variable's name, whose words a placeholder may repeat.
    """
    bare = value.strip()
    # No placeholder is that long, and no pattern shall spend time on a megabyte.
    if not bare or len(bare) > _LONGEST:
        return Shape.REPEAT if bare and len(set(bare)) == 1 else None
    for shape, pattern in _SHAPES:
        if pattern.fullmatch(bare):
            return shape
    if _is_own_name(bare, name):
        return Shape.OWN_NAME
    if _is_words_only(bare):
        return Shape.WORDS
    if _is_sequence(bare):
        return Shape.SEQUENCE
    return Shape.REPEAT if _REPEAT.fullmatch(bare) or _HEXSPEAK.fullmatch(bare) else None


def _words(text: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word.lower() for word in re.split(r"[^A-Za-z]+", spaced) if word]


def _is_own_name(value: str, name: str) -> bool:
    own = "".join(_words(name))
    said = "".join(_words(value))
    return bool(said) and bool(own) and own.endswith(said) and not any(map(str.isdigit, value))


def _is_words_only(value: str) -> bool:
    """Tell whether every word speaks of secrets; the rest may be separators and a few digits."""
    words = _words(value)
    digits = sum(map(str.isdigit, value))
    has_few_digits = digits <= _MOST_DIGITS_AMONG_WORDS
    return bool(words) and has_few_digits and all(map(_WORD.fullmatch, words))


def _is_sequence(value: str) -> bool:
    body = re.sub(r"^(?:[A-Za-z]{2,6}[-_])+", "", value).lower()
    is_run = len(body) >= _SHORTEST_RUN and any(body in run * 4 for run in _SEQUENCES)
    is_pin = body.isdigit() and len(body) <= _LONGEST_PIN
    return is_run or is_pin or _NAME_AND_RUN.fullmatch(value) is not None
