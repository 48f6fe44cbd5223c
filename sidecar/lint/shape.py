"""The shapes of placeholders, and the patterns by which they are recognised."""

import re
from collections.abc import Mapping
from enum import StrEnum


class Shape(StrEnum):
    """Why a value is taken for a placeholder; fit to be shown."""

    YOURS = "it speaks to the reader, like your-key-here"
    IMPERATIVE = "it asks to be changed"
    MASK = "it is masked out"
    BRACKETS = "it is a template that was not filled in"
    VARIABLE_NAME = "it repeats the variable's name"
    MARKER = "it says of itself that it is an example"
    WORDS = "it is made of words for a secret only"
    SEQUENCE = "it is a run of letters or digits"
    REPEAT = "it repeats one pattern"
    NEIGHBOUR = "it repeats a user, database or host that is set beside it"


SPEAKING = frozenset({Shape.YOURS, Shape.IMPERATIVE, Shape.MASK, Shape.BRACKETS, Shape.MARKER})
"""Shapes that say of themselves that a value is still to be written, for any purpose."""

_EDGE = r"(?:^|[-_ ./:!])"
_END = r"(?:$|[-_ ./:!,])"
UNFILLED = re.compile(
    r"<[\w .,:/'|@&()-]*>|\{\{.*\}\}|\{[\w .-]*\}|\[[A-Za-z][\w .-]*\]|\$\{[^}]*\}|\$\([^)]*\)|"
    r"\$[A-Z_][A-Z0-9_]*|%[A-Z_]{3,}%|%[a-z_]{3,}%|@[A-Z_]+@|__[A-Za-z][A-Za-z_ -]*__.*|#|#.*\s.*|"
    r"<(?:[a-z_ -]{4,}|[A-Z_ -]{4,})>.*|.*<(?:[a-z_ -]{4,}|[A-Z_ -]{4,})>|"
    r"(?:op|doppler|vault|ssm|secretsmanager|gcpsm|akv|azkv|keyvault)://.*|vault:[^#]*#.*",
    re.DOTALL,
)
MASKED = re.compile(
    r".*(?:x{5,}|X{5,}|\*{4,}|•{2,}|…).*|.{0,16}(?:\*{3,}|\.{3,})|"
    r"(?:[A-Za-z0-9]{2,6}[-_])*x{2,}(?:[-_]x+)*|[A-Za-z0-9]{0,6}X{4,}|[!-/:-@\[-`{-~ ]{1,8}|"
    r"[-_*?.]+"
)


def _compiled(
    patterns: Mapping[Shape, str], flags: re.RegexFlag
) -> tuple[tuple[Shape, re.Pattern[str]], ...]:
    return tuple((shape, re.compile(text, flags)) for shape, text in patterns.items())


STRONG = _compiled(
    {
        Shape.YOURS: (
            r"(?:.*[-_ ./:])?(?:your|yours|votre)(?:[-_ ].*)?|"
            r"(?:deine?|ihre?|sua|seu|tu|uw|vostra|la|le|mi|ton)[-_ ][a-z]{3,}(?:[-_ ][a-z]{2,})*|"
            r"your(?:secret|password|api|token|key|own|domain|db|database|strong|jwt|app|super|very)[a-z0-9]*|"
            r".*[-_ ](?:goes[-_ ])?(?:here|ici|aqui|aquí|qui|hier)[.!]?|"
            r".*(?:key|token|secret|password|value)here|[a-z]+(?:[-_ ][a-z]+)*[-_ ]anda|"
            r".*[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af\u0400-\u04ff].*"
        ),
        Shape.IMPERATIVE: (
            rf"(?:.*{_EDGE})?(?:change|replace|fill|set|update|edit|enter|insert|put|add|paste)"
            rf"[-_ ]?(?:me|this|it|in|that|with|before|your|the|by)(?:{_END}.*|[0-9!]*)|"
            r"(?:.*[^a-z])?chang(?:e[-_ ]?me|e[-_ ]?this|eit|ez[-_ ]moi)(?:[^a-z].*)?|"
            r".*[-_ ](?:in|for|before|to)[-_ ]prod(?:uction)?(?:[-_ !].*)?|"
            r".*pleasechange.*|.*tobe(?:modified|changed|replaced).*|"
            r"(?:[a-z]+[-_])*(?:cambia|cambiar|reemplaza\w*|remplace\w*|troque|substitua|ersetzen|"
            r"aendern|ändern)(?:[-_ ].*)?"
        ),
    },
    re.IGNORECASE | re.DOTALL,
)
WEAK = _compiled(
    {
        Shape.YOURS: r"(?:you|my|our)[-_ ][a-z]+(?:[-_ ][a-z0-9]{1,12})*[!.]?",
        Shape.IMPERATIVE: (
            r"_*(?:change|replace|generate|insert|enter|paste|get|create|obtain|fill|use|add|put|"
            r"provide|type)[-_ ][a-z]+(?:[-_ ][a-z0-9]+)*[-_ .!]*|changed?|"
            rf"(?:todo|tbd|fixme)(?:{_END}.*)?"
        ),
        Shape.MARKER: (
            rf"(?:.*{_EDGE})?(?:fake|stub|dummy|example|sample|placeholder|notreal|invalid|"
            rf"not[-_ ]a[-_ ]real|not[-_ ]so[-_ ]secret|mock|bogus|(?:user|to[-_]be)[-_]provided|"
            rf"redacted)(?:{_END}.*|[0-9]*)|unset|undefined|not[-_ ]?set|none|null|nil|n/a|"
            r"[A-Za-z0-9/+_-]{0,60}EXAMPLE(?:KEY)?"
        ),
    },
    re.IGNORECASE,
)
# A value without any of these speaks to no reader; looking for them is cheap, matching is not.
_HINTS = """
chang replace fill set update edit enter insert put add paste prod tobe cambia reempl rempl
troque substitu ersetz aendern ändern you votre dein ihr sua seu tu uw vostra la le mi ton here
ici aqu qui hier anda my our gener get creat obtain use provide type todo tbd fixme fake stub
dummy example sample placeholder notreal invalid not mock bogus redacted unset undefined none
null nil n/a
"""
HINTS = tuple(_HINTS.split())
PREFIX = re.compile(r"^(?:[A-Za-z][A-Za-z0-9]{1,5}[-_])+|^(?:base64:|Bearer |AIzaSy)")
WALKS = re.compile(
    r"(?:qwerty(?:uiop)?|asdf(?:gh(?:jkl)?)?|zxcv(?:bnm?)?|qazwsx(?:edc)?|1q2w3e(?:4r)?(?:5t)?|"
    r"1qaz2wsx(?:3edc)?|q1w2e3r4(?:t5)?|abc|xyz|iloveyou|letmein|monkey|dragon|trustno1)+"
    r"[0-9!@#]{0,4}",
    re.IGNORECASE,
)
HEXSPEAK = re.compile(
    r"(?:0x)?(?:deadbeef|cafebabe|baadf00d|c0ffee|feedface|badc0de|decafbad|1337|cafe|babe|beef|dead)+",
    re.IGNORECASE,
)
WORD_AND_RUN = re.compile(
    r"[A-Z]?[a-z]{2,}(?:[-_]?[A-Z][a-z]+|[-_][a-z]+){0,3}[-_@#.!]?"
    r"(?:123|1234|12345|123456|1234567+[890]*|321|(?:19|20)\d\d|(\d)\1{2,})[!@#$.]?|"
    r"[A-Z]{2,12}[-_@]?(?:123|1234|12345|123456|1234567+[890]*)!?"
)
PLAIN_WORD = re.compile(
    r"(?:[a-z]{1,12}|[A-Z]{1,12}|[A-Z][a-z]{1,11})[!.]?|[A-Za-z][a-z]{1,8}[-_@.!]?[0-9]{1,2}[!.]?"
)
REPEAT = re.compile(r"(.{1,16}?)\1{2,}.?", re.DOTALL)
REPEATED_END = re.compile(r".{0,12}?([0-9A-Za-z#])\1{7,}", re.DOTALL)
