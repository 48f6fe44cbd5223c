import base64
import json
import string
import uuid
from collections.abc import Callable
from itertools import cycle, islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.config.variable_name import is_mounted_name, is_near, is_secret_name
from sidecar.lint.placeholder import shape_of
from sidecar.lint.published import origin_of
from sidecar.lint.shape import Shape

Make = Callable[[Random], str]
SYLLABLES = tuple(first + last for first in "bdfgklmnprst" for last in "aeiou")

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("your-api-key-here", Shape.YOURS),
        ("your_secret_key", Shape.YOURS),
        ("sk-your-key-here", Shape.YOURS),
        ("YOUR_API_KEY", Shape.YOURS),
        ("my-secret-key", Shape.YOURS),
        ("you-secret-key", Shape.YOURS),
        ("paste_your_token_here", Shape.YOURS),
        ("openai-key-goes-here", Shape.YOURS),
        ("changeme", Shape.IMPERATIVE),
        ("ChangeMe123!", Shape.IMPERATIVE),
        ("changethis", Shape.IMPERATIVE),
        ("change-this-in-production", Shape.IMPERATIVE),
        ("this-really-needs-to-be-changed-in-prod", Shape.IMPERATIVE),
        ("toBeModified1", Shape.IMPERATIVE),
        ("votre-cle-ici", Shape.YOURS),
        ("dein-geheimes-passwort", Shape.YOURS),
        ("在这里填写密钥", Shape.YOURS),
        ("P@ssw0rd!", Shape.WORDS),
        ("shopsecret", Shape.WORDS),
        ("umami", Shape.WORDS),
        ("data encryption key with 32 char", Shape.WORDS),
        ("VGhpc0lzTXlTZWNyZXRLZXk", Shape.WORDS),
        ("a1b2c3d4e5f6g7h8", Shape.SEQUENCE),
        ("0123456789abcdef0123456789abcdef", Shape.SEQUENCE),
        ("qwerty123", Shape.SEQUENCE),
        ("# set me before the start", Shape.BRACKETS),
        ("vault:secret/data/shop#key", Shape.BRACKETS),
        ("please-change-me", Shape.IMPERATIVE),
        ("replace_me_with_a_real_one", Shape.IMPERATIVE),
        ("generate_a_new_key", Shape.IMPERATIVE),
        ("get_a_key_from_the_console", Shape.IMPERATIVE),
        ("TODO", Shape.IMPERATIVE),
        ("__REPLACE_ME__1", Shape.BRACKETS),
        ("<office365_password>", Shape.BRACKETS),
        ("< replace me >", Shape.BRACKETS),
        ("${SECRET}", Shape.BRACKETS),
        ("{{ secret }}", Shape.BRACKETS),
        ("$SECRET_KEY", Shape.BRACKETS),
        ("%SECRET%", Shape.BRACKETS),
        ("xxxx", Shape.MASK),
        ("sk-xxxxxxxx", Shape.MASK),
        ("sk-proj-xxxxxxxx", Shape.MASK),
        ("A0XXXXXXX", Shape.MASK),
        ("xx-xxxx-x", Shape.MASK),
        ("********", Shape.MASK),
        ("sk-...", Shape.MASK),
        ("fake_key", Shape.MARKER),
        ("example", Shape.MARKER),
        ("user_provided", Shape.MARKER),
        ("secret", Shape.WORDS),
        ("password", Shape.WORDS),
        ("password1", Shape.WORDS),
        ("supersecret", Shape.WORDS),
        ("RANDOM_STRING", Shape.WORDS),
        ("super-secret-jwt-token-with-at-least-32-characters-long", Shape.WORDS),
        ("1234567890", Shape.SEQUENCE),
        ("sk-1234567890", Shape.SEQUENCE),
        ("difyai123456", Shape.SEQUENCE),
        ("abc123", Shape.SEQUENCE),
        ("123", Shape.SEQUENCE),
        ("abcdefgh", Shape.SEQUENCE),
        ("0" * 64, Shape.REPEAT),
        ("abababab", Shape.REPEAT),
        ("CAFEBABE", Shape.REPEAT),
        ("DEADBEEFDEADBEEF", Shape.REPEAT),
        ("a" * 1_000_000, Shape.REPEAT),
    ],
)
def test_a_published_placeholder_is_told_by_its_shape(value: str, shape: Shape) -> None:
    assert shape_of(value, "SOME_KEY") is shape


def test_a_value_that_repeats_its_variable_is_a_placeholder() -> None:
    assert shape_of("google-project-key", "GOOGLE_PROJECT_KEY") is Shape.VARIABLE_NAME
    assert shape_of("smtpPassword", "SMTP_PASSWORD") is Shape.VARIABLE_NAME


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "correct horse battery staple",
        "tango-Velvet-91-harbor-mint",
        "sk-ant-api03-7Hq2mXv9Lr4TzWb8NcYd1KfGs6JpEu0A",
        "AIzaSyD3x9kQw7Rt2Vb5Nm8Lp1Zc4Xs6Yh0Jf_",
        "sk_live_51H8s9dKj3Lm2Qw7Er5Ty9Ui",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ8v",
        "v^8k#Lq2!zR7@mW4",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg",
    ],
)
def test_a_real_secret_is_no_placeholder(value: str) -> None:
    assert shape_of(value, "SOME_KEY") is None


def _hex(size: int) -> Make:
    return lambda rng: rng.randbytes(size).hex()


def _base64(size: int) -> Make:
    return lambda rng: base64.b64encode(rng.randbytes(size)).decode()


def _urlsafe(size: int) -> Make:
    return lambda rng: base64.urlsafe_b64encode(rng.randbytes(size)).rstrip(b"=").decode()


def _uuid4(rng: Random) -> str:
    return str(uuid.UUID(bytes=rng.randbytes(16), version=4))


def _letters(alphabet: str, length: int, prefix: str = "") -> Make:
    return lambda rng: prefix + "".join(rng.choices(alphabet, k=length))


def _jwt(rng: Random) -> str:
    claims = json.dumps({"sub": rng.randbytes(6).hex(), "role": "service", "exp": 4102444800})
    parts = [b'{"alg":"HS256","typ":"JWT"}', claims.encode(), rng.randbytes(32)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _phrase(words: int, separator: str, *, capital: bool = False) -> Make:
    def make(rng: Random) -> str:
        chosen = rng.choices(PHRASE_WORDS, k=words)
        return separator.join(word.capitalize() if capital else word for word in chosen)

    return make


BASE62 = string.ascii_letters + string.digits
# Words of lists for passphrases have some that placeholders are made of too.
PHRASE_WORDS = (
    *(first + last for first in SYLLABLES for last in SYLLABLES if first != last),
    *("secret", "example", "change", "password"),
)
GENERATORS: dict[str, Make] = {
    "hex 16": _hex(16),
    "hex 32": _hex(32),
    "base64 24": _base64(24),
    "base64 32": _base64(32),
    "urlsafe 32": _urlsafe(32),
    "urlsafe 48": _urlsafe(48),
    "uuid4": _uuid4,
    "django": _letters(string.ascii_lowercase + string.digits + "!@#$%^&*(-_=+)", 50),
    "openai": _letters(BASE62 + "-_", 64, "sk-proj-"),
    "anthropic": _letters(BASE62 + "-_", 93, "sk-ant-api03-"),
    "google": _letters(BASE62 + "-_", 35, "AIza"),
    "stripe": _letters(BASE62, 24, "sk_live_"),
    "github": _letters(BASE62, 36, "ghp_"),
    "aws": _letters(BASE62 + "/+", 40),
    "jwt": _jwt,
    "manager 14": _letters(BASE62 + "!@#$%^&*", 14),
    "manager 20": _letters(BASE62 + string.punctuation, 20),
    "passphrase 4": _phrase(4, "-", capital=True),
    "passphrase 5": _phrase(5, " "),
    "passphrase 6": _phrase(6, "_"),
}


def flagged(count: int) -> list[tuple[str, str]]:
    rng = Random(20)  # a fixed draw: the rate is the subject, not luck
    makers = list(GENERATORS.items())
    drawn = ((name, make(rng)) for name, make in islice(cycle(makers), count))
    return [
        (name, value)
        for name, value in drawn
        if shape_of(value, "SECRET_KEY") is not None or origin_of(value) is not None
    ]


def test_of_many_generated_secrets_almost_none_is_flagged() -> None:
    assert len(flagged(20_000)) <= 2


@pytest.mark.parametrize(("length", "most"), [(12, 0.01), (10, 0.05), (9, 0.05)])
def test_letters_of_one_case_drawn_at_random_are_rarely_taken_for_a_word(
    length: int, most: float
) -> None:
    rng, make = Random(20), _letters(string.ascii_lowercase, length)
    drawn = [make(rng) for _ in range(2_000)]

    assert sum(shape_of(value, "SMTP_PASSWORD") is not None for value in drawn) <= most * 2_000


@pytest.mark.parametrize(
    "word", ["kestra", "elephant", "Keycloak", "nextcloud", "metabase", "CLICKHOUSE", "directus"]
)
def test_a_word_is_no_password_whatever_it_names(word: str) -> None:
    assert shape_of(word, "DB_PASSWORD") is Shape.WORDS


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_of_a_hundred_thousand_generated_secrets_ten_at_most_are_flagged() -> None:
    assert len(flagged(100_000)) <= 10


@unhurried
@given(st.binary(min_size=32, max_size=32))
def test_a_generated_secret_is_no_placeholder_unless_it_repeats(drawn: bytes) -> None:
    if len(set(drawn)) > 16:
        for text in (drawn.hex(), base64.urlsafe_b64encode(drawn).decode()):
            assert shape_of(text, "SECRET_KEY") is None


@unhurried
@given(st.text(), st.text())
def test_any_text_is_judged(value: str, name: str) -> None:
    assert shape_of(value, name) in {None, *Shape}


def test_names_tell_secrets_and_what_may_be_mounted() -> None:
    secret = ["SECRET_KEY", "GEMINI_API_KEY", "PGPASSWORD", "github_token", "AWS_SECRET_ACCESS_KEY"]
    public = ["JWT_PUBLIC_KEY", "PRIMARY_KEY", "TOKENIZERS_PARALLELISM", "KEYBOARD", "PWD"]

    assert all(map(is_secret_name, secret))
    assert not any(map(is_secret_name, public))
    assert not is_secret_name("DATABASE_URL")
    assert is_mounted_name("DATABASE_URL")
    assert not is_mounted_name("SSL_CERT")


def test_near_names_are_at_most_two_edits_apart() -> None:
    assert is_near("DATBASE_URL", "DATABASE_URL")
    assert is_near("SECRET_KYE", "SECRET_KEY")
    assert is_near("SECRET_KEY", "SECRET_KEYS1")
    assert not is_near("DATA_URL", "DATABASE_URL")
    assert not is_near("ABC", "XYZ")
