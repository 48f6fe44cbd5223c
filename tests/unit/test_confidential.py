"""Which values of an environment are masked in logs and spans."""

import pytest

from sidecar.config.confidential import find_secrets
from sidecar.config.environ import Environ
from sidecar.config.project_rules import ProjectRules
from sidecar.config.secret import Secret
from sidecar.config.settings import load
from sidecar.telemetry.redaction import Redactor
from sidecar.wiring.boot import secrets_of


def redacted(text: str, values: dict[str, str], project: ProjectRules | None = None) -> str:
    environ = Environ.of(values)
    settings, _ = load(environ)
    return Redactor(secrets_of(settings, environ, project or ProjectRules()))(text)


@pytest.mark.parametrize(
    ("name", "value", "spoken"),
    [
        ("STRIPE_API_KEY", "c4n4ry", "c4n4ry"),
        ("SECRET_KEY", "abcd", "abcd"),
        ("REDIS_PASSWORD", ' "c4n4ry-7" \r\n', "c4n4ry-7"),
        ("ANYTHING", "ghp_c4n4ryc4n4ryc4n4ryc4n4ry", "ghp_c4n4ryc4n4ryc4n4ryc4n4ry"),
        ("REDIS_URL", "redis://:c4n4ry@cache/0", "c4n4ry"),
        ("CACHE", "redis://shop:c4n%2F4ry@cache/0", "c4n/4ry"),
        ("CACHE", "redis://shop:c4n/4@ry@cache/0", "c4n/4@ry"),
        ("BROKERS", "amqp://a:c4n4ry@one,amqp://a:c4n4ry@two", "c4n4ry"),
        ("JDBC", "jdbc:postgresql://db/shop?user=a&password=c4n4ry", "c4n4ry"),
        ("BROKEN_URL", "redis://a:c4n4ry@[cache", "c4n4ry"),
    ],
)
def test_a_secret_is_masked_by_name_shape_or_place(name: str, value: str, spoken: str) -> None:
    assert redacted(f"it was {spoken} here", {name: value}) == "it was *** here"


def test_what_the_project_requires_or_measures_is_a_secret() -> None:
    project = ProjectRules(required=("LOYALTY",), bytes={"SEED": 8})
    said = redacted(
        "canary-1 canary-2 canary-3", {"LOYALTY": "canary-1", "SEED": "canary-2"}, project
    )
    assert said == "*** *** canary-3"


@pytest.mark.parametrize("word", ["true", "postgres", "5432", "Guest", "a1b2", "20260101"])
def test_a_common_word_stays_readable(word: str) -> None:
    url = f"postgresql://{word}:{word}@db/shop"
    text = f"{word} is up"
    assert redacted(text, {"ADMIN_PASSWORD": word, "CACHE_URL": f"redis://:{word}@c"}) == text
    assert redacted(text, {"DATABASE_URL": url}) == text
    assert word not in redacted(f"to {url}", {"DATABASE_URL": url})


def test_a_switch_and_a_path_are_no_secrets() -> None:
    environ = Environ.of({"USE_TOKEN": "false", "TLS_KEY": "/run/certs/server-key.pem"})
    assert list(find_secrets(environ, ProjectRules())) == []


def test_an_endless_address_is_left_alone() -> None:
    address = "redis://:" + "@" * 100_000
    assert list(find_secrets(Environ.of({"CACHE": address}), ProjectRules())) == []
    assert Secret(address) == next(find_secrets(Environ.of({"A_TOKEN": address}), ProjectRules()))
