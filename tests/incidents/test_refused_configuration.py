import json
from pathlib import Path

import pytest

from sidecar.config.secret import generate
from tests.incidents.ending import findings, reported
from tests.incidents.patience import eventually
from tests.incidents.program import TARGET, environment, finish, listening

REFUSED = 78
EXAMPLE = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://user:password@localhost:5432/dbname",
    "GEMINI_API_KEY": "your-api-key-here",
    "CORS_ORIGINS": "*",
    "DEBUG": "true",
}
CANARIES = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://canary1:changeme-canary2@db.example.com/shop",
    "SECRET_KEY": "canary4-too-short",
    "GEMINI_API_KEY": "your-canary5-here",
    "SIDECAR_TOKEN": "canary6",
    "SIDECAR_PORT": "canary7",
    "DB_POOL_MAX_SIZE": "canary8",
    "CORS_ORIGINS": "canary9 not an origin",
}
SECRETS = ("canary", "password@localhost", "your-api-key-here")


@pytest.mark.parametrize("arguments", [("serve",), ("serve", "service:publisher"), ("run", "x:y")])
@pytest.mark.parametrize(
    "environ",
    [{"ENVIRONMENT": "production"}, EXAMPLE, CANARIES],
    ids=["empty", "example", "canary"],
)
def test_production_refuses_and_tells_every_finding_without_a_value(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    refused = finish(tmp_path, *arguments, **environ)
    checked = finish(tmp_path, "check", "--format", "json", **environ)
    assert (refused.code, checked.code) == (REFUSED, REFUSED)
    assert findings(refused) == reported(json.loads(checked.out))
    for text in (refused.out, refused.err, checked.out, checked.err):
        assert "Traceback" not in text
        assert not [secret for secret in SECRETS if secret in text]


def test_an_empty_production_environment_lacks_what_it_must_have(tmp_path: Path) -> None:
    found = findings(finish(tmp_path, "serve", ENVIRONMENT="production"))
    refusals = {field for _, severity, field in found if severity == "refuse"}
    assert refusals == {"DATABASE_URL", "SECRET_KEY", "GEMINI_API_KEY"}


def test_the_example_has_three_errors_and_two_warnings(tmp_path: Path) -> None:
    found = findings(finish(tmp_path, "serve", **EXAMPLE))
    wrong = {field for _, severity, field in found if severity in {"error", "refuse"}}
    warned = {field for _, severity, field in found if severity == "warning"}
    assert wrong >= {"DATABASE_URL", "GEMINI_API_KEY", "SECRET_KEY"}
    assert warned >= {"CORS_ORIGINS", "DEBUG"}


async def test_a_refused_process_can_be_held_for_its_report(tmp_path: Path) -> None:
    told = {"SIDECAR_ON_INVALID": "hold", "SIDECAR_TOKEN": generate().reveal()}
    hold = environment(tmp_path, **EXAMPLE, **told)
    async with listening(tmp_path, TARGET, **hold) as program:

        async def is_up() -> bool:
            return (await program.get("/startup")).status == 200

        await eventually(is_up)
        assert [(await program.get(path)).status for path in ("/health", "/ready")] == [200, 503]
        report = (await program.get("/config-report")).json()
        checked = finish(tmp_path, "check", "--format", "json", **hold)
        assert reported(report) == reported(json.loads(checked.out))
        assert len(program.family.members()) == 1
        program.process.terminate()
        assert await program.wait(5.0) == 0
