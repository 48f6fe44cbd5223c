"""Workloads of a deployment, each with the environment that its runtime would give it."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from sidecar.lint.deployment import Workload, read_deployment
from sidecar.lint.linter import validate_all
from sidecar.lint.result import LintResult
from tests.unit.test_config_source import KEY, NOW, encoded, values

GOOD_URL = "postgresql://shop:Zr4tQ9wLk2Vn7Xc1@db.internal:5432/orders?sslmode=verify-full"


def workloads(path: Path, text: str, *more: Path, **options: str) -> dict[str | None, Workload]:
    path.write_text(text)
    found = read_deployment([path, *more], shell={"FROM_SHELL": "s7"}, **options)  # type: ignore[arg-type]
    assert not found.unread
    return {each.name: each for each in found.workloads}


def judge(path: Path, text: str, **options: str) -> set[tuple[str, str | None]]:
    """Give what is refused, by variable and workload."""
    found = workloads(path, text, **options).values()
    judgement = LintResult(validate_all(found, now=NOW))
    return {(f.field, f.workload) for f in judgement.findings if f.severity == "refuse"}


def kind(name: str, *containers: str, kind: str = "Deployment", more: str = "") -> str:
    """Give a manifest of containers, each written as flow YAML, one a line."""
    listed = "".join(f"      - {each}\n" for each in containers)
    return (
        f"---\nkind: {kind}\nmetadata: {{name: {name}{more}}}\nspec:\n  template:\n    spec:\n"
        f"      containers:\n{listed}"
    )


def container(name: str, **variables: str) -> str:
    entries = ", ".join(f'{{name: {key}, value: "{text}"}}' for key, text in variables.items())
    return f"{{name: {name}, env: [{entries}]}}"


def test_each_container_is_judged_by_itself_and_named(tmp_path: Path) -> None:
    full = {"ENVIRONMENT": "production", "DATABASE_URL": GOOD_URL, "GEMINI_API_KEY": "k" + KEY}
    text = kind(
        "api",
        container("web", SECRET_KEY="changeme", **full),
        container("worker", SECRET_KEY=KEY, **full),
        container("cache", REDIS_PASSWORD="secret"),
    ) + kind("api", container("web", SECRET_KEY="changeme", **full), kind="StatefulSet")

    assert judge(tmp_path / "shop.yaml", text) == {
        ("SECRET_KEY", "deployment/api > container web"),
        ("SECRET_KEY", "statefulset/api > container web"),
        ("REDIS_PASSWORD", "deployment/api > container cache"),
    }


def test_an_init_container_hides_nothing_and_lacks_nothing(tmp_path: Path) -> None:
    text = kind("api", container("web", SECRET_KEY="changeme", ENVIRONMENT="staging"))
    good = container("migrate", SECRET_KEY=KEY, DATABASE_URL=GOOD_URL)
    found = judge(tmp_path / "shop.yaml", f"{text}      initContainers:\n      - {good}\n")

    assert ("SECRET_KEY", "deployment/api > container web") in found
    assert not [each for each in found if each[1] == "deployment/api > init container migrate"]


def test_namespaces_keep_their_own_secrets_and_config_maps(tmp_path: Path) -> None:
    def of(namespace: str, value: str) -> str:
        more = f", namespace: {namespace}"
        wanted = "{name: web, envFrom: [{configMapRef: {name: shop}}, {secretRef: {name: shop}}]}"
        return (
            f"---\nkind: ConfigMap\nmetadata: {{name: shop{more}}}\ndata: {{LEVEL: {value}}}\n"
            f"---\nkind: Secret\nmetadata: {{name: shop{more}}}\ndata: {{KEY: {encoded(value)}}}\n"
        ) + kind("api", wanted, more=more)

    found = workloads(tmp_path / "all.yaml", of("one", "first") + of("two", "second"))

    assert {name: values(workload) for name, workload in found.items()} == {
        "namespace one > deployment/api > container web": {"LEVEL": "first", "KEY": "first"},
        "namespace two > deployment/api > container web": {"LEVEL": "second", "KEY": "second"},
    }


def test_manifests_of_several_files_are_read_as_they_are_applied_together(tmp_path: Path) -> None:
    store = tmp_path / "secret.yaml"
    store.write_text(f"kind: Secret\nmetadata: {{name: shop}}\nstringData: {{SECRET_KEY: {KEY}}}\n")
    text = kind("api", "{name: web, envFrom: [{secretRef: {name: shop}}]}")
    found = workloads(tmp_path / "shop.yaml", text, store)

    assert values(found["deployment/api > container web"]) == {"SECRET_KEY": KEY}
    assert len(found) == 1


def test_every_kind_that_starts_containers_is_read(tmp_path: Path) -> None:
    one = "containers: [{name: c, env: [{name: A, value: b}]}]"
    text = (
        f"kind: Pod\nmetadata: {{name: p}}\nspec: {{{one}}}\n"
        f"---\nkind: CronJob\nmetadata: {{name: n}}\n"
        f"spec: {{jobTemplate: {{spec: {{template: {{spec: {{{one}}}}}}}}}}}\n"
        f"---\nkind: List\nitems: [{{kind: Rollout, spec: {{template: {{spec: {{{one}}}}}}}}}]\n"
    )

    assert {name: values(each) for name, each in workloads(tmp_path / "a.yaml", text).items()} == {
        "pod/p > container c": {"A": "b"},
        "cronjob/n > container c": {"A": "b"},
        "rollout > container c": {"A": "b"},
    }


SECRET = f"kind: Secret\nmetadata: {{name: shop}}\nstringData: {{secret-key: {KEY}}}\n"
TAKEN = "{name: web, env: [{name: SECRET_KEY, valueFrom: {secretKeyRef: {name: %s, key: %s%s}}}]}"


@pytest.mark.parametrize(
    ("name", "key", "more", "said", "promised"),
    [
        ("shop", "secret-key", "", None, False),
        ("shop", "secret_key", "", "key secret_key of Secret shop", True),
        ("shop", "secret_key", ", optional: true", None, False),
        ("other", "secret_key", "", None, True),
        ("empty", "secret_key", "", None, True),
    ],
    ids=["there", "misspelt", "optional and missing", "of a store elsewhere", "filled elsewhere"],
)
def test_a_key_that_a_secret_lacks_is_told(
    tmp_path: Path, name: str, key: str, more: str, said: str | None, *, promised: bool
) -> None:
    text = (
        SECRET
        + "---\nkind: Secret\nmetadata: {name: empty}\n"
        + kind("api", TAKEN % (name, key, more))
    )
    [workload] = workloads(tmp_path / "shop.yaml", text).values()
    told = [each.message for each in workload.findings if each.severity == "refuse"]

    assert bool(told) == bool(said)
    assert all(said in each for each in told if said)
    assert workload.environ.is_promised("SECRET_KEY") is promised


def test_a_reference_to_what_is_not_defined_before_is_told_with_its_reason(tmp_path: Path) -> None:
    own = container(
        "web", DATABASE_URL="postgresql://shop:$(PG_PASSWORD)@db.io/orders", PG_PASSWORD="x"
    )
    [workload] = workloads(tmp_path / "shop.yaml", kind("api", own)).values()
    [found] = [each for each in workload.findings if each.field == "DATABASE_URL"]

    assert (found.id, found.severity) == ("ENV03", "refuse")
    assert "$(PG_PASSWORD), which is not defined before it" in found.message


def test_a_name_that_stands_twice_in_a_container_is_told(tmp_path: Path) -> None:
    own = "{name: web, env: [{name: A, value: x}, {name: A, value: y}]}"
    [workload] = workloads(tmp_path / "shop.yaml", kind("api", own)).values()

    assert values(workload) == {"A": "y"}
    assert any("A stands twice" in each.message for each in workload.findings)


COMPOSE = f"""
services:
  api:
    environment: {{ENVIRONMENT: production, SECRET_KEY: changeme, DATABASE_URL: "{GOOD_URL}",
                   GEMINI_API_KEY: k{KEY}}}
  worker:
    environment: {{ENVIRONMENT: production, SECRET_KEY: {KEY}, DATABASE_URL: "{GOOD_URL}",
                   GEMINI_API_KEY: k{KEY}}}
  db: {{environment: {{POSTGRES_PASSWORD: postgres}}}}
  tools: {{profiles: [dev], environment: {{SECRET_KEY: changeme, DEBUG: "true"}}}}
"""


def test_each_compose_service_is_judged_by_itself_and_named(tmp_path: Path) -> None:
    assert judge(tmp_path / "compose.yaml", COMPOSE) == {
        ("SECRET_KEY", "service api"),
        ("POSTGRES_PASSWORD", "service db"),
    }


def test_a_service_of_a_profile_is_judged_when_it_is_named(tmp_path: Path) -> None:
    found = workloads(tmp_path / "compose.yaml", COMPOSE)
    told = [each.message for workload in found.values() for each in workload.findings]

    assert "service tools" not in found
    assert "The service tools is of a profile that is not active, and was not judged." in told
    assert ("SECRET_KEY", "service tools") in judge(tmp_path / "c.yaml", COMPOSE, part="tools")


def test_what_several_compose_files_say_of_a_service_is_merged(tmp_path: Path) -> None:
    more = tmp_path / "override.yaml"
    more.write_text("services: {api: {environment: [LEVEL=2, MORE=3]}}")
    text = "services: {api: {environment: {LEVEL: 1, NAME: shop}}}"
    [workload] = workloads(tmp_path / "compose.yaml", text, more).values()

    assert values(workload) == {"LEVEL": "2", "MORE": "3", "NAME": "shop"}


def test_services_that_extend_and_include_others_have_their_environment(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "common.env").write_text("FROM_BASE=1\n")
    (tmp_path / "base" / "common.yaml").write_text(
        "services: {base: {env_file: common.env, environment: {SECRET_KEY: changeme, LEVEL: 1}}}"
    )
    (tmp_path / "other.yaml").write_text(
        "include: [compose.yaml, other.yaml]\nservices: {other: {environment: [A=b]}}"
    )
    text = (
        "include: [other.yaml, {path: [other.yaml]}]\nservices:\n"
        "  api: {extends: {file: base/common.yaml, service: base}, environment: {LEVEL: 2}}\n"
        "  same: {extends: api, environment: {NAME: same}}\n"
    )
    found = workloads(tmp_path / "compose.yaml", text)
    given = {"FROM_BASE": "1", "SECRET_KEY": "changeme", "LEVEL": "2"}

    assert {name: values(each) for name, each in found.items()} == {
        "service other": {"A": "b"},
        "service api": given,
        "service same": {**given, "NAME": "same"},
    }


def test_env_files_are_read_by_the_rules_of_compose(tmp_path: Path) -> None:
    secret = "aZ9kLm2pQ7$xR4tW8vB3nC6"
    (tmp_path / "a.env").write_text(
        f"LOST={secret}\nKEPT='{secret}'\nESCAPED=a$$b\nSHELL=${{FROM_SHELL}}-$LOST\n"
        'export B="c" # d\n'
    )
    (tmp_path / "raw.env").write_text(f"RAW='{secret}'\n")
    text = (
        "services:\n  api:\n    env_file:\n      - a.env\n      - {path: raw.env, format: raw}\n"
        "      - {path: missing.env, required: false}\n"
    )
    [workload] = workloads(tmp_path / "compose.yaml", text).values()

    assert values(workload) == {
        "LOST": "aZ9kLm2pQ7",
        "KEPT": secret,
        "ESCAPED": "a$b",
        "SHELL": "s7-aZ9kLm2pQ7",
        "B": "c",
        "RAW": f"'{secret}'",
    }
    assert [each.field for each in workload.findings] == ["LOST"]
    assert "xR4t" not in str(workload.findings)


def test_what_compose_demands_of_the_shell_is_promised(tmp_path: Path) -> None:
    text = (
        "services:\n  api:\n    environment:\n"
        "      SECRET_KEY: ${SECRET_KEY:?set it}\n"
        "      DATABASE_URL: postgresql://shop:${PW?}@db.internal/orders?sslmode=verify-full\n"
        "      TOKEN: a${NOBODY}b\n      LEVEL: ${LEVEL}\n"
    )
    [workload] = workloads(tmp_path / "compose.yaml", text).values()
    told = {each.field: each.severity for each in workload.findings}

    assert workload.environ.is_promised("SECRET_KEY")
    assert told == {"TOKEN": "warning", "LEVEL": "info"}
    assert ("DATABASE_URL", "service api") not in judge(tmp_path / "compose.yaml", text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "c.yaml",
            "services: {a: {extends: {file: no.yaml, service: b}}}",
            "builds on a file that",
        ),
        ("c.yaml", "services: {a: {extends: nobody}}", "The service nobody that another extends"),
        (
            "c.yaml",
            "include: [no.yaml]\nservices: {a: {environment: [A=b]}}",
            "no.yaml is a file that",
        ),
        (
            "c.yaml",
            "include: [oci://x/y]\nservices: {a: {environment: [A=b]}}",
            "builds on oci://x/y, which is not on",
        ),
        ("c.yaml", "services: {a: {env_file: /dev/zero}}", "is not a regular file"),
        ("c.yaml", "services: {a: {env_file: no.env}}", "no.env is a file that does not exist"),
        ("kustomization.yaml", "secretGenerator: [{name: a}]", "only kustomize can read"),
        ("a.yaml", "kind: Kustomization\nresources: [a]", "only kustomize can read"),
        ("a.yaml", "kind: Secret\ndata: {A: '{{ .Values.a | quote }}'}", "Helm has not filled in"),
        (
            "a.yaml",
            "kind: Secret\n{{- if .Values.a }}\ndata: {}\n{{- end }}",
            "Helm has not filled",
        ),
        ("values.yaml", "image: {tag: '1'}", "neither a compose file nor"),
        ("a.yaml", "kind: Service\nspec: {ports: []}", "holds no container"),
        ("a.json", '{"containerDefinitions": [{"name": "a"}]}', "JSON of a kind that is not read"),
        ("a.json", "{}", "sets no variable"),
        ("a.env", "# nothing\n", "sets no variable"),
    ],
)
def test_input_on_which_no_verdict_can_rest_is_told(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    [reason] = read_deployment([tmp_path / name], shell={}).unread

    assert said in reason


def test_json_of_kubernetes_and_compose_is_read_as_such(tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "x"},
        "data": {"A": "YQ=="},
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret]}
    project = {"name": "shop", "services": {"api": {"environment": {"A": "a"}}}}
    for number, document in enumerate((secret, listed, project)):
        text = json.dumps(document, indent="\t")
        [workload] = workloads(tmp_path / f"{number}.json", text).values()

        assert values(workload) == {"A": "a"}


def test_a_restricted_secret_of_doppler_is_promised(tmp_path: Path) -> None:
    answer = {
        "secrets": {"SECRET_KEY": {"computed": None}, "A": {"computed": "b"}},
        "success": True,
    }
    [workload] = workloads(tmp_path / "d.json", json.dumps(answer)).values()

    assert workload.environ.is_promised("SECRET_KEY")
    assert values(workload) == {"A": "b"}


def test_an_env_file_lies_under_the_workloads_named_after_it_and_over_those_before(
    tmp_path: Path,
) -> None:
    first, last = tmp_path / "first.env", tmp_path / "last.env"
    first.write_text("A=first\nB=first\n")
    last.write_text("C=last\n")
    compose = tmp_path / "compose.yaml"
    compose.write_text("services: {api: {environment: [B=own, C=own]}}")
    [workload] = read_deployment([first, compose, last], shell={}).workloads

    assert values(workload) == {"A": "first", "B": "own", "C": "last"}


@pytest.mark.parametrize(
    ("text", "environments"),
    [
        ("services: {a: {environment: [A=b]}}", {"service a": "production"}),
        (
            "services: {a: {environment: [ENVIRONMENT=staging]}, b: {environment: [SECRET_KEY=x]}}",
            {"service a": "staging", "service b": "staging"},
        ),
        (
            "services: {a: {environment: [ENVIRONMENT=development]}, b: {environment: [A=b]}}",
            {"service a": "development", "service b": "development"},
        ),
    ],
)
def test_files_that_do_not_say_where_they_run_are_not_forgiven(
    tmp_path: Path, text: str, environments: dict[str, str]
) -> None:
    found = workloads(tmp_path / "compose.yaml", text)
    told = {
        verdict.workload.name
        for verdict in validate_all(found.values(), now=NOW)
        if any(each.id == "ENV01" for each in verdict.findings)
    }

    assert {name: each.environ.environment for name, each in found.items()} == environments
    assert told == {"service b"} if "SECRET_KEY" in text else True


def test_a_few_aliases_that_stand_for_millions_are_read_at_once(tmp_path: Path) -> None:
    levels = "".join(
        f"{chr(98 + n)}: &{chr(98 + n)}\n  <<: [{','.join(['*' + chr(97 + n)] * 20)}]\n"
        for n in range(9)
    )
    text = f"a: &a {{A0: x, A1: y}}\n{levels}services:\n  api:\n    environment: *j\n"
    [workload] = workloads(tmp_path / "compose.yaml", text).values()

    assert values(workload) == {"A0": "x", "A1": "y"}


def test_a_file_of_more_workloads_than_anybody_runs_is_not_judged_in_part(tmp_path: Path) -> None:
    services = "".join(f"  s{number}: *a\n" for number in range(3000))
    path = tmp_path / "compose.yaml"
    path.write_text(f"x: &a {{environment: [A=b]}}\nservices:\n{services}")
    found = read_deployment([path], shell={})

    assert len(found.workloads) == 1000
    assert "and was not read whole" in found.unread[0]


def test_of_merged_mappings_the_earlier_one_wins_and_the_own_keys_over_all(tmp_path: Path) -> None:
    text = (
        "x-a: &a {A: a, B: a}\nx-b: &b {A: b, B: b, C: b}\n"
        "services: {api: {environment: {<<: [*a, *b], B: own}}}"
    )
    [workload] = workloads(tmp_path / "compose.yaml", text).values()

    assert values(workload) == {"A": "a", "B": "own", "C": "b"}


@pytest.mark.parametrize("name", ["x.yaml", "compose.yaml", ".env"])
def test_references_that_double_what_they_stand_in_are_bounded(tmp_path: Path, name: str) -> None:
    names = [f"A{number}" for number in range(60)]
    doubled = {
        "x.yaml": "$({0})$({0})",
        "compose.yaml": "${{{0}}}${{{0}}}",
        ".env": "${{{0}}}${{{0}}}",
    }
    pairs = [
        ("A0", "0123456789"),
        *((b, doubled[name].format(a)) for a, b in pairwise(names)),
    ]
    lines = "".join(f"{key}={text}\n" for key, text in pairs)
    text = lines
    if name == "x.yaml":
        text = kind("api", container("web", **dict(pairs)))
    elif name == "compose.yaml":
        (tmp_path / "a.env").write_text(lines)
        text = "services: {api: {env_file: a.env}}"
    [workload] = workloads(tmp_path / name, text).values()

    assert max(len(each.value) for each in workload.environ) < 2_000_000


VOLUMES = """
      volumes:
        - {name: whole, secret: {secretName: shop}}
        - name: chosen
          projected: {sources: [{secret: {name: shop, items: [{key: secret-key, path: deep/k}]}}]}
        - {name: other, secret: {secretName: elsewhere}}
"""


@pytest.mark.parametrize(
    ("path", "mount", "value"),
    [
        ("/s/secret-key", "{name: whole, mountPath: /s/}", "changeme"),
        ("/s/deep/k", "{name: chosen, mountPath: /s}", "changeme"),
        ("/one", "{name: whole, mountPath: /one, subPath: secret-key}", "changeme"),
        ("/s/secret-key", "{name: other, mountPath: /s}", None),
    ],
    ids=["whole", "projected", "one file", "elsewhere"],
)
def test_a_secret_that_is_mounted_as_a_file_is_judged(
    tmp_path: Path, path: str, mount: str, value: str | None
) -> None:
    entry = f"{{name: SECRET_KEY_FILE, value: {path}}}"
    own = f"{{name: web, volumeMounts: [{mount}], env: [{entry}]}}"
    store = 'kind: Secret\nmetadata: {name: shop}\nstringData: {secret-key: "changeme\\n"}\n'
    [workload] = workloads(tmp_path / "shop.yaml", store + kind("api", own) + VOLUMES).values()
    key = workload.environ.get("SECRET_KEY")

    assert (None if key is None else key.value) == value
    assert workload.environ.is_promised("SECRET_KEY") is (value is None)


def test_secrets_of_compose_are_judged_where_they_are_here(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("changeme\n")
    text = (
        "secrets:\n  key: {file: key.txt}\n  token: {environment: FROM_SHELL}\n"
        "  gone: {file: gone.txt}\n"
        "services:\n  api:\n    secrets: [key, {source: token, target: /t}, gone]\n"
        "    environment: {SECRET_KEY_FILE: /run/secrets/key, SIDECAR_TOKEN_FILE: /t,\n"
        "                  DATABASE_URL_FILE: /run/secrets/gone}\n"
    )
    [workload] = workloads(tmp_path / "compose.yaml", text).values()

    assert workload.environ.text("SECRET_KEY") == "changeme"
    assert workload.environ.text("SIDECAR_TOKEN") == "s7"
    assert workload.environ.is_promised("DATABASE_URL")
