"""Files of a deployment, read as docker, compose, Kubernetes and Doppler would read them."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.json import encode

from sidecar.config.environ import compose
from sidecar.lint.deployment import Workload, read_deployment
from sidecar.lint.linter import Verdict, validate_all
from sidecar.lint.source.file import Dialect
from sidecar.lint.source.interpolation import Filling

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "Kf3vQ8mZr1Xc6Tn0Wb5Lp9Hd4Ys7Jg2AuEiOoUyBnVx"


def read(path: Path, text: str | bytes, **options: str) -> Workload:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    dialect = Dialect(options.pop("dialect", "auto"))
    return gather(path, dialect=dialect, shell={"FROM_SHELL": "s7"}, **options)


def gather(path: Path, **options: Any) -> Workload:
    [workload] = read_deployment([path], **options).workloads
    return workload


def values(workload: Workload) -> dict[str, str]:
    return {each.name: each.value for each in workload.environ}


def faults(workload: Workload) -> list[tuple[str, str, int | None]]:
    return [(each.id, each.message, each.line) for each in workload.findings]


def judge(workload: Workload) -> Verdict:
    [verdict] = validate_all([workload], now=NOW)
    return verdict


def test_docker_keeps_quotes_comments_and_blanks_and_takes_bare_names_from_the_shell(
    tmp_path: Path,
) -> None:
    workload = read(tmp_path / "x.env", "# no\n\n A='b' # c \nB=\nFROM_SHELL\nNOT_THERE\nC=d=e\n")

    assert values(workload) == {"A": "'b' # c ", "B": "", "FROM_SHELL": "s7", "C": "d=e"}
    a = workload.environ.get("A")
    assert a is not None
    assert (a.source, a.line) == (str(tmp_path / "x.env"), 3)


def test_dotenv_takes_quotes_and_comments_off(tmp_path: Path) -> None:
    text = "export A='b' # c\nB=\"d\"\n"

    assert values(read(tmp_path / "x.env", text, dialect="dotenv")) == {"A": "b", "B": "d"}


@pytest.mark.parametrize(
    ("text", "rule", "said", "line"),
    [
        (b"\xef\xbb\xbfA=1\n", "ENV03", "byte order mark, at line 1", 1),
        (b"A=1\nB=2\r\nC=3\r\n", "ENV03", "Windows line ends, from line 2", 2),
        (b"A=1\nB=\xff\n", "ENV06", "is not UTF-8 text, in line 2", 2),
        (b"A=1\nB=2\nA=3\n", "ENV06", "A stands twice, in lines 1 and 3", 3),
        (b"A=1\nsome canary7 text\n", "ENV06", "Line 2 of", 2),
        (b"A=1\nB =canary7\n", "ENV06", "Line 2 of", 2),
    ],
    ids=["BOM", "CRLF", "not UTF-8", "twice", "no name", "blank before ="],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(
    tmp_path: Path, text: bytes, rule: str, said: str, line: int
) -> None:
    workload = read(tmp_path / "x.env", text)
    [(found, message, at)] = faults(workload)

    assert (found, at) == (rule, line)
    assert said in message
    assert "canary7" not in message
    assert workload.findings[0].hint
    assert workload.findings[0].as_dict()["source"] == f"{tmp_path / 'x.env'}:{line}"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.env", tmp_path / "a\x00b"):
        workload = gather(path, environment="production", shell={})

        assert [(each.id, each.severity) for each in workload.findings] == [("ENV06", "refuse")]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f'"{KEY}"', "quotes"),
        (f"{KEY} ", "blanks"),
        ("${OTHER}", "${...} at character 1"),
        (f"{KEY}\x00", "control character at character 44"),
        ("a9Z" * 350_000, "longer than 128 KiB"),
    ],
    ids=["quotes", "blank", "unexpanded", "NUL", "a megabyte"],
)
def test_what_is_wrong_with_a_value_is_told_with_its_place(
    tmp_path: Path, value: str, said: str
) -> None:
    workload = read(tmp_path / "x.env", f"ENVIRONMENT=production\nSECRET_KEY={value}\n")
    findings = judge(workload).findings
    found = {each.id: each for each in findings if each.field == "SECRET_KEY"}

    assert said in found["ENV03"].message
    assert found["ENV03"].place == f"{tmp_path / 'x.env'}:2"
    assert found["ENV03"].severity == "refuse"
    assert found["ENV03"].hint


COMPOSE = """
x-env: &env
  SECRET_KEY: ${KEY:-changeme}
  PRICE: 5$$
services:
  web:
    env_file: [web.env]
    environment:
      <<: *env
      DEBUG: true
      FROM_SHELL:
  db:
    environment:
      - POSTGRES_PASSWORD=${DB_PASSWORD:-secret}
      - DEBUG=false
"""


def test_compose_merges_files_and_references(tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text("A='1'\nDEBUG=0\n")
    (tmp_path / ".env").write_text(f"KEY={KEY}\n")
    workload = read(tmp_path / "compose.yaml", COMPOSE, part="web")

    assert values(workload) == {
        "A": "1",
        "SECRET_KEY": KEY,
        "PRICE": "5$",
        "DEBUG": "true",
        "FROM_SHELL": "s7",
    }
    debug = workload.environ.get("DEBUG")
    assert debug is not None
    assert debug.line == 10


def test_one_service_can_be_chosen(tmp_path: Path) -> None:
    workload = read(tmp_path / "compose.yml", COMPOSE, part="db")
    missing = read(tmp_path / "compose.yml", COMPOSE, part="nobody")

    assert values(workload) == {"POSTGRES_PASSWORD": "secret", "DEBUG": "false"}
    assert "it has web, db" in missing.findings[0].message


MANIFEST = """
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - name: shop
          envFrom:
            - secretRef: {name: shop}
            - configMapRef: {name: settings}
              prefix: SHOP_
          env:
            - {name: ENVIRONMENT, value: production}
            - {name: URL, value: "http://$(ENVIRONMENT)/$(NOBODY)"}
            - name: TOKEN
              valueFrom: {secretKeyRef: {name: shop, key: token}}
            - name: DATABASE_URL
              valueFrom: {secretKeyRef: {name: elsewhere, key: url}}
---
apiVersion: v1
kind: Secret
metadata: {name: shop}
data:
  SECRET_KEY: %s
  token: %s
  broken: "%%%%"
stringData:
  PLAIN: text
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {DEBUG: "true"}
"""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_kubernetes_resolves_secrets_and_config_maps(tmp_path: Path) -> None:
    text = MANIFEST % (encoded("changeme"), encoded("t7"))
    workload = read(tmp_path / "shop.yaml", text)

    assert values(workload) == {
        "SECRET_KEY": "changeme",
        "PLAIN": "text",
        "SHOP_DEBUG": "true",
        "ENVIRONMENT": "production",
        "URL": "http://production/$(NOBODY)",
        "TOKEN": "t7",
        "token": "t7",
    }
    assert workload.environ.is_promised("DATABASE_URL")
    assert "broken of Secret shop is not base64" in workload.findings[0].message
    fields = {each.field for each in judge(workload).findings}
    assert "SECRET_KEY" in fields
    assert "DATABASE_URL" not in fields


def test_a_secret_that_is_not_in_the_file_makes_nothing_missing(tmp_path: Path) -> None:
    text = MANIFEST.partition("---")[0]
    workload = read(tmp_path / "shop.yaml", text)
    refused = {each.field for each in judge(workload).findings if each.id == "SEC01"}

    assert workload.environ.is_promised("SECRET_KEY")
    assert not refused


def test_a_lone_secret_is_read_as_an_environment(tmp_path: Path) -> None:
    text = f"kind: Secret\nmetadata: {{name: x}}\ndata: {{SECRET_KEY: {encoded(KEY)}}}\n"

    assert values(read(tmp_path / "secret.yaml", text)) == {"SECRET_KEY": KEY}


@pytest.mark.parametrize(
    "document",
    [{"SECRET_KEY": KEY, "PORT": 5}, {"SECRET_KEY": {"computed": KEY}, "PORT": {"raw": "5"}}],
)
def test_both_forms_of_doppler_are_read(tmp_path: Path, document: object) -> None:
    workload = read(tmp_path / "doppler.json", json.dumps(document, indent=1))
    key = workload.environ.get("SECRET_KEY")

    assert values(workload) == {"SECRET_KEY": KEY, "PORT": "5"}
    assert key is not None
    assert key.line == 2


def test_names_that_stand_twice_in_json_are_told(tmp_path: Path) -> None:
    workload = read(tmp_path / "x.json", '{"A": "1",\n"A": "2"}')

    assert values(workload) == {"A": "2"}
    assert faults(workload) == [("ENV06", "A stands twice, in lines 1 and 2.", 2)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.json", '{"A": 1,\n canary7', "is not JSON, from line 2 on"),
        ("x.json", "[1]", "is not an object"),
        ("x.yaml", "a: [1\nb: canary7", "is not YAML, from line"),
        ("x.yaml", "just text", "neither a compose file nor"),
        ("x.yaml", "kind: !!python/object:os.system {}", ""),
        ("x.yaml", "services: &a\n  web: *a\n", ""),
    ],
)
def test_text_that_is_something_else_is_a_finding_or_nothing(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    workload = read(tmp_path / name, text)

    assert said in " ".join(message for _, message, _ in faults(workload))
    assert "canary7" not in str(workload.findings)


def test_a_mounted_secret_of_the_deployment_is_not_missing(tmp_path: Path) -> None:
    workload = read(tmp_path / "x.env", "ENVIRONMENT=production\nSECRET_KEY_FILE=/run/secrets/k\n")
    missing = {each.field for each in judge(workload).findings if each.id == "SEC01"}

    assert "SECRET_KEY" not in missing


@pytest.mark.parametrize(
    ("text", "shell", "filled"),
    [
        ("${A}-$A-$$A", {"A": "1"}, "1-1-$A"),
        ("${A:-x}${A-y}", {"A": ""}, "x"),
        ("${A:-${B:-z}}", {}, "z"),
        ("${A:+x}${A:?no}", {"A": "1"}, "x1"),
        ("${A}${", {}, "${"),
    ],
)
def test_references_are_filled_in_as_compose_does(
    text: str, shell: Mapping[str, str], filled: str
) -> None:
    assert Filling(shell).fill(text) == filled


@unhurried
@given(
    st.binary(max_size=300)
    | st.text(alphabet="ABab:=-{}[]&*<>!|\n \"'$#,", max_size=120).map(str.encode),
    st.sampled_from(["x.env", "x.json", "x.yaml"]),
    st.sampled_from([each.value for each in Dialect]),
)
def test_any_file_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str, dialect: str
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    found = read_deployment([path], dialect=Dialect(dialect), shell={}).workloads

    for workload in found:
        assert json.loads(encode(judge(workload).report(NOW).as_dict()))["status"]


def pod(*entries: str) -> str:
    """Give the manifest of one container with these entries of `env`."""
    lines = "".join(f"        - {each}\n" for each in entries)
    return (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: shop}\nspec:\n  containers:\n"
        f"    - name: shop\n      env:\n{lines}"
    )


PROMISED = "{name: %s, valueFrom: {secretKeyRef: {name: elsewhere, key: %s}}}"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://shop:$(PG_PASSWORD)@db.shop.io/orders?sslmode=verify-full",
        "postgresql://$(PG_USER):$(PG_PASSWORD)@$(PG_HOST):$(PG_PORT)/$(PG_NAME)?sslmode=verify-full",
        "postgresql://shop:$(PG_PASSWORD)@a.shop.io:$(PG_PORT),b.shop.io/orders?sslmode=$(PG_MODE)",
        "postgresql://shop@db.shop.io:$(PG_PORT)?password=$(PG_PASSWORD)&sslmode=verify-full",
        "$(PG_WHOLE)",
    ],
)
def test_what_a_manifest_takes_from_elsewhere_is_judged_around(
    tmp_path: Path, address: str
) -> None:
    names = ("PG_USER", "PG_PASSWORD", "PG_HOST", "PG_PORT", "PG_NAME", "PG_MODE", "PG_WHOLE")
    promised = [PROMISED % (name, name.lower()) for name in names]
    given = f'{{name: DATABASE_URL, value: "{address}"}}'
    text = pod("{name: ENVIRONMENT, value: production}", *promised, given)
    verdict = judge(read(tmp_path / "shop.yaml", text))

    assert not [each for each in verdict.findings if each.field == "DATABASE_URL"]
    assert "pq7vk2" not in str(verdict.report(NOW).as_dict())


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("DATABASE_URL", "postgresql://shop:$(PG_PASSWORD)@db.shop.io/orders", "DB05"),
        ("DATABASE_URL", "postgresql://shop:$(PG_PASSWORD)@host:5432/orders", "SEC02"),
        ("REDIS_URL", "redis://$(PG_PASSWORD):changeme@cache.shop.io", "SEC02"),
    ],
)
def test_the_known_part_of_a_value_is_judged_though_another_is_promised(
    tmp_path: Path, name: str, value: str, rule: str
) -> None:
    given = f'{{name: {name}, value: "{value}"}}'
    promised = PROMISED % ("PG_PASSWORD", "password")
    text = pod("{name: ENVIRONMENT, value: production}", promised, given)
    findings = judge(read(tmp_path / "shop.yaml", text)).findings

    assert rule in {each.id for each in findings if each.field == name}


PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADANBg\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("name", [".env", ".env.production", ".env.local"])
def test_a_dotenv_file_is_read_as_the_process_reads_it_at_its_start(
    tmp_path: Path, name: str
) -> None:
    text = (
        "export ENVIRONMENT=production\n"
        f"SECRET_KEY='{KEY}'  # generated\r\n"
        f'SIGNING_KEY="{PEM}"\n'
        'BASE="https://shop.io"\nCALLBACK="${BASE}/back?from=${FROM_SHELL}&x=${NOBODY:-y}"\n'
    )
    workload = read(tmp_path / name, text)
    (tmp_path / ".env").write_bytes(text.encode())
    process = compose({"FROM_SHELL": "s7"}, tmp_path)

    assert values(workload) == {
        "ENVIRONMENT": "production",
        "SECRET_KEY": KEY,
        "SIGNING_KEY": PEM,
        "BASE": "https://shop.io",
        "CALLBACK": "https://shop.io/back?from=s7&x=y",
    }
    assert {each.name: each.value for each in process} == {"FROM_SHELL": "s7", **values(workload)}
    assert not workload.findings


def test_a_dotenv_file_is_judged_by_the_rules_of_docker_when_docker_reads_it(
    tmp_path: Path,
) -> None:
    workload = read(tmp_path / ".env", "export A=1\nB='2'\n", dialect="docker")

    assert values(workload) == {"B": "'2'"}
    assert [each.line for each in workload.findings] == [1]
