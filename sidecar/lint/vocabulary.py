"""The words that placeholders are made of, and how text falls into them."""

import re
from collections.abc import Iterable
from itertools import islice, pairwise

_CREDENTIALS = """
access account admin administrator api apikey appkey auth authentication bearer certificate
cipher client cookie credential credentials crypto csrf encryption hash hmac jwt key keys
letmein license login master passphrase pass passcode passw passwd password passwords pepper pin
private pwd qwerty refresh root salt secret secretkey secrets session sign signature signing
superuser sysadmin token tokens topsecret user username webhook welcome mypassword mysecret
supersecret testing test guest default demo changeit
"""
CREDENTIALS = frozenset(_CREDENTIALS.split())
_FILLERS = """
a abc above actual add after all an and any app application at aws azure bar base baz be before
below bit bits bot bytes char character characters chars code cool dashboard data database db
dev development do docker domain dont enough env environment example foo for from fun generate
generated generator get github git gitlab good google gcp hard hello here hex id if in insecure
internal is it its just least length link local localhost long longer magic make me mercurial
min minimum more must my name needs never new node none not null number of on only openssl
openai anthropic gemini or our own paste please postgres postgresql prod production project
public put rand random randomly real really redis replace required role run running safe sample
same secure secured securely server service set should sk slack smtp so some something staging
starting storage string strong stripe sure super temp temporary than that the then there these
this to todo tutorial twilio unique unsafe update updated upload use used uuid value values very
was we web with world would yes you your yours mysql mongo mongodb minio mariadb rabbitmq
elastic elasticsearch kafka change changed changeme enter insert fill edit create obtain fake
stub dummy mock bogus placeholder notsecure verysecret guess keyboard cat tbd fixme xxx yyy zzz
sendgrid mailgun resend mail email host
"""
FILLERS = frozenset(_FILLERS.split())
WORDS = CREDENTIALS | FILLERS

_LEET = str.maketrans("@0$134578", "aosieastb")
_INSIDE_WORD = re.compile(r"(?<=[A-Za-z])[@0$134578](?=[A-Za-z])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_RUNS = re.compile(r"[A-Za-z]+")
_LONGEST_WORD = max(map(len, WORDS))


def _row_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join(sorted(words, key=len, reverse=True))})+")


_ROW = _row_of(WORDS)
_ROW_OF_LONG = _row_of(word for word in WORDS if len(word) > len("the"))
# Words that are made of words can be taken apart in many ways: the row stays short.
_LONGEST_ROW = 40
_SHORTEST_INNER = 4
_FEWEST_WORDS = 4
_FEWEST_STRANGE = 3
_SHORT = ("key", "pwd", "jwt")
_NEIGHBOURS = frozenset(
    pair
    for row in ("01234567890", "abcdefghijklmnopqrstuvwxyz")
    for left, right in pairwise(row)
    for pair in ((left, right), (right, left))
) | {(sign, sign) for sign in "0123456789abcdefghijklmnopqrstuvwxyz"}


def tokens_of(text: str) -> list[str]:
    """Return the lower-case words that separators, digits and humps part."""
    return [word.lower() for word in _RUNS.findall(_CAMEL.sub(" ", text))]


def plain(text: str) -> str:
    """Undo digits and signs that stand for letters inside a word, as in `P@ssw0rd`."""
    return _INSIDE_WORD.sub(lambda found: found.group().translate(_LEET), text)


def is_phrase(text: str) -> bool:
    """Return True for a passphrase: four or more words, three of which no placeholder speaks of."""
    tokens = tokens_of(text)
    if len(tokens) < _FEWEST_WORDS:
        return False
    strange = (token for token in tokens if len(token) >= _FEWEST_STRANGE and _is_strange(token))
    return len(list(islice(strange, _FEWEST_STRANGE))) == _FEWEST_STRANGE


def strange_letters(run: str) -> tuple[int, int]:
    """Count the letters of a run that belong to no word, and those of its credential words.

    A run that is no row of words may still begin or end with a credential, as `shopsecret` does.
    """
    if run in WORDS or (len(run) >= _SHORTEST_INNER and _is_row(run, _ROW)):
        return 0, len(run) if _speaks_of_credentials(run) else 0
    for size in range(min(len(run), _LONGEST_WORD), _SHORTEST_INNER - 1, -1):
        if run[:size] in CREDENTIALS or run[-size:] in CREDENTIALS:
            return len(run) - size, size
    return len(run), 0


def stepping_share(text: str) -> float:
    """Return the share of neighbours that follow each other in the alphabet or are the same."""
    steps = len(text) - 1
    return sum(map(_NEIGHBOURS.__contains__, pairwise(text))) / steps if steps > 0 else 0.0


def _speaks_of_credentials(run: str) -> bool:
    is_known = run in CREDENTIALS or run.startswith(_SHORT) or run.endswith(_SHORT)
    return is_known or any(word in run for word in CREDENTIALS if len(word) >= _SHORTEST_INNER)


def _is_strange(token: str) -> bool:
    # Short words are in too many others: `projector` is no project, or.
    return token not in WORDS and not _is_row(token, _ROW_OF_LONG)


def _is_row(run: str, row: re.Pattern[str]) -> bool:
    return len(run) <= _LONGEST_ROW and row.fullmatch(run) is not None
