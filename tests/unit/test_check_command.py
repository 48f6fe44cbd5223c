"""`sidecar check`, as a pipeline runs it."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from sidecar.config import bounded
from sidecar.lint import repair
from sidecar.lint.rules import RULES
from tests.incidents.tool import find_tool

KEY = "Kf3vQ8mZr1Xc6Tn0Wb5Lp9Hd4Ys7Jg2AuEiOoUyBnVxT7qRwZ3"
GOOD = f"""ENVIRONMENT=production
DATABASE_URL=postgresql://shop:Zr4tQ9wLk2Vn7Xc1@db.internal:5432/orders?sslmode=verify-full
SECRET_KEY={KEY}
GEMINI_API_KEY=AIzaSyD3x9kQw7Rt2Vb5Nm8Lp1Zc4Xs6Yh0Jf_
CORS_ORIGINS=https://app.shop.io
DB_POOL_MIN_SIZE=10
DB_POOL_MAX_SIZE=50
"""
REFUSED = 78
USAGE = 2
FAILED = 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments])


def write(folder: Path, text: str, name: str = "prod.env") -> str:
    (folder / name).write_text(text)
    return name


def test_a_good_file_is_fit_to_run(folder: Path) -> None:
    result = check("--env-file", write(folder, GOOD), "--strict")

    assert (result.exit_code, result.output) == (
        0,
        "The configuration is fit to run. 0 findings, production.\n",
    )


def test_findings_are_grouped_with_their_place_and_a_hint(folder: Path) -> None:
    text = GOOD.replace(KEY, "changeme") + "DEBUG=true\n"
    result = check("--env-file", write(folder, text))

    assert result.exit_code == REFUSED
    assert re.search(
        r"^Secrets\n  REFUSE  SEC02 SECRET_KEY: .* \[prod\.env:3\]\n          Generate one",
        result.output,
    )
    assert "\nApplication\n  WARNING APP01 DEBUG" in result.output
    assert "\x1b" not in result.output


def test_warnings_refuse_where_it_is_strict(folder: Path) -> None:
    name = write(folder, GOOD + "DEBUG=true\n")

    assert check("--env-file", name).exit_code == 0
    assert check("--env-file", name, "--strict").exit_code == REFUSED


def test_the_environment_can_be_chosen(folder: Path) -> None:
    name = write(folder, GOOD.replace(KEY, "changeme"))
    result = check("--env-file", name, "--environment", "development", "--format", "json")

    assert result.exit_code == 0
    assert json.loads(result.output)["environment"] == "development"


def test_another_example_file_is_compared_with(folder: Path) -> None:
    name = write(folder, GOOD)
    example = write(folder, f"OTHER={KEY}\n", "published.txt")
    result = check("--env-file", name, "--example", example, "--format", "json")

    [found] = [each for each in json.loads(result.output)["findings"] if each["id"] == "SEC03"]
    assert found["field"] == "SECRET_KEY"
    assert found["source"] == "prod.env:3"


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing.txt", "a file that does not exist"), (".", "something that is not a regular file")],
)
def test_an_example_file_that_cannot_be_read_is_wrong_usage(
    folder: Path, name: str, said: str
) -> None:
    result = check("--env-file", write(folder, GOOD), "--example", name)

    assert result.exit_code == USAGE
    assert f"Error: {name} is {said}." in result.stderr


def test_github_shows_annotations_beside_the_line(folder: Path) -> None:
    name = write(folder, GOOD.replace(KEY, "changeme") + "DEBUG=true\n")
    lines = check("--env-file", name, "--format", "github").output.splitlines()

    assert lines[0].startswith("::error file=prod.env,line=3,title=SEC02 SECRET_KEY::SECRET_KEY ")
    assert lines[1].startswith("::warning file=prod.env,line=8,title=APP01 DEBUG::")
    assert len(lines) == 2


def test_sarif_has_rules_results_and_places(folder: Path) -> None:
    write(folder, "[silenced]\nAPP01 = 'a demo'\n", "sidecar.toml")
    name = write(folder, GOOD.replace(KEY, "changeme") + "DEBUG=true\n")
    document = json.loads(check("--env-file", name, "--format", "sarif").output)
    [run] = document["runs"]
    by_rule = {each["ruleId"]: each for each in run["results"]}
    place = by_rule["SEC02"]["locations"][0]["physicalLocation"]

    assert document["version"] == "2.1.0"
    assert {each["id"] for each in run["tool"]["driver"]["rules"]} == set(by_rule)
    assert by_rule["SEC02"]["level"] == "error"
    assert place == {"artifactLocation": {"uri": "prod.env"}, "region": {"startLine": 3}}
    assert by_rule["APP01"]["suppressions"] == [{"kind": "external", "justification": "a demo"}]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_missing_secrets_are_written_and_values_are_left_alone(folder: Path) -> None:
    write(
        folder,
        'required = ["CIPHER_KEY", "STRIPE_API_KEY"]\nbytes = { CIPHER_KEY = 16 }\n',
        "sidecar.toml",
    )
    text = GOOD.replace(KEY, "") + "# last\r\nOTHER_TOKEN=changeme"
    (folder / "prod.env").write_bytes(text.replace("\r\n", "\n").replace("\n", "\r\n").encode())
    (folder / "prod.env").chmod(0o640)
    before = (folder / "prod.env").read_bytes().decode().split("\r\n")
    result = check("--env-file", "prod.env", "--fix")
    after = (folder / "prod.env").read_bytes().decode().split("\r\n")

    assert "Wrote SECRET_KEY into prod.env" in result.output
    assert re.fullmatch(r"SECRET_KEY=[\w-]{64}", after[2])
    assert next(line for line in after if line.startswith("CIPHER_KEY="))[11:].isalnum()
    assert [line for n, line in enumerate(after[: len(before)]) if n != 2] == [
        line for n, line in enumerate(before) if n != 2
    ]
    assert "STRIPE_API_KEY" not in "".join(after)
    assert "Left STRIPE_API_KEY alone: it is issued elsewhere" in result.output
    assert "Left OTHER_TOKEN alone: it has a value, and no value is written over." in result.output
    assert stat.S_IMODE((folder / "prod.env").stat().st_mode) == 0o640
    assert {path.name for path in folder.iterdir()} == {"prod.env", "sidecar.toml"}
    assert after[2].partition("=")[2] not in result.output


def test_fix_changes_nothing_the_second_time(folder: Path) -> None:
    first = check("--env-file", write(folder, GOOD.replace(KEY, "")), "--fix")
    before = (folder / "prod.env").read_bytes()
    second = check("--env-file", "prod.env", "--fix")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "Wrote" not in second.output
    assert "Left" not in second.output
    assert (folder / "prod.env").read_bytes() == before


def test_fix_makes_a_file_that_only_its_owner_can_read(folder: Path) -> None:
    check("--fix")

    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert re.fullmatch(r"SECRET_KEY=[\w-]{64}\n", (folder / ".env").read_text())


def git(folder: Path, *command: str) -> None:
    subprocess.run([find_tool("git"), "-C", folder, *command], check=True, capture_output=True)


def test_fix_warns_where_others_read_what_it_wrote(folder: Path) -> None:
    name = write(folder, "ENVIRONMENT=production\n")
    (folder / name).chmod(0o644)
    git(folder, "init", "--quiet")
    git(folder, "add", name)
    told = check("--env-file", name, "--fix").stderr

    assert "Warning: Every user can read prod.env, its mode is 0644. Run: chmod 600" in told
    assert "Warning: git tracks prod.env: the next commit publishes its secrets." in told
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o644
    assert "Warning" not in check("--env-file", name, "--fix").stderr


def test_fix_says_nothing_of_a_file_that_nobody_else_reads(folder: Path) -> None:
    git(folder, "init", "--quiet")
    write(folder, "*.env\n", ".gitignore")
    told = check("--env-file", "new.env", "--fix").stderr
    beside = check("--env-file", "seen", "--fix").stderr

    assert "Wrote SECRET_KEY into new.env" in told
    assert "Warning" not in told
    assert "Warning: git does not ignore seen" in beside


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_fix_leaves_the_file_with_its_owner(folder: Path) -> None:
    name = write(folder, "ENVIRONMENT=production\n")
    os.chown(folder / name, 65534, 65533)
    (folder / name).chmod(0o600)
    check("--env-file", name, "--fix")
    found = (folder / name).stat()

    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65533, 0o600)
    assert "SECRET_KEY=" in (folder / name).read_text()


def test_fix_writes_where_it_lies_what_it_cannot_give_back_to_its_owner(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write(folder, "ENVIRONMENT=production\n")
    before = (folder / name).stat()
    monkeypatch.setattr(repair, "_take_after", lambda *_: False)
    check("--env-file", name, "--fix")

    assert (folder / name).stat().st_ino == before.st_ino
    assert "SECRET_KEY=" in (folder / name).read_text()
    assert [path.name for path in folder.iterdir()] == [name]


def test_fix_leaves_manifests_alone(folder: Path) -> None:
    text = "services: {web: {environment: {A: b}}}"
    result = check("--env-file", write(folder, text, "compose.yaml"), "--fix")

    assert result.exit_code == USAGE
    assert "env files only" in result.output


def test_a_rule_in_code_is_asked_and_its_faults_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    write(
        folder,
        "from sidecar.lint.custom_rule import Complaint, rule\n"
        "@rule('SHOP01', 'a till without a drawer')\n"
        "def till(environ):\n"
        "    yield Complaint('TILL', f'it is {environ.text(\"TILL_SECRET\")}', 'open it')\n"
        "@rule('SHOP02', 'broken')\n"
        "def broken(environ):\n"
        "    raise ValueError(environ.text('TILL_SECRET'))\n",
        "till_rules.py",
    )
    write(folder, 'rules = ["till_rules", "no_such_module:x"]\n', "sidecar.toml")
    name = write(folder, GOOD + "TILL_SECRET=canary7canary7\n")
    result = check("--env-file", name)

    assert result.exit_code == REFUSED
    assert "REFUSE  SHOP01 TILL: it is ***" in result.output
    assert "The rule SHOP02 raised ValueError." in result.output
    assert "The rule no_such_module:x cannot be imported: ModuleNotFoundError." in result.output
    assert "canary7" not in result.output


@pytest.mark.parametrize(("code", "shown"), [("", ""), ("'no ' + KEY", "no ***\n")])
def test_a_rule_in_code_that_ends_the_process_passes_nothing_and_shows_no_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, shown: str
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    module = f"ending_rules_{len(code)}"
    text = f"import sys\nKEY = {KEY!r}\nsys.exit({code})\n"
    write(folder, text, f"{module}.py")
    write(folder, f'rules = ["{module}"]\n', "sidecar.toml")
    result = check("--env-file", write(folder, GOOD))

    assert result.exit_code == USAGE
    assert (
        result.stderr == f"{shown}Error: A rule in code ended the check; let it yield or return.\n"
    )


def test_a_server_that_cannot_be_reached_is_a_finding(folder: Path) -> None:
    text = GOOD.replace("db.internal:5432", "127.0.0.1:1")
    result = check("--env-file", write(folder, text), "--live")

    assert "ERROR   DB16 DATABASE_URL: PostgreSQL cannot be reached" in result.output
    assert "Zr4tQ9wLk2Vn7Xc1" not in result.output


@pytest.mark.parametrize("output", ["text", "json", "github", "sarif"])
@pytest.mark.parametrize(
    "argument", [("--env-file", "missing.env"), ("--env-file", "."), ("--env-file", "")]
)
def test_an_unusable_file_is_wrong_usage_and_told_in_every_format(
    folder: Path, output: str, argument: tuple[str, str]
) -> None:
    result = check(*argument, "--format", output)

    assert result.exit_code == USAGE
    assert "ENV06" in result.stdout
    # Nothing can be called missing of what was not read.
    assert "SEC01" not in result.stdout
    assert result.stderr.startswith("Error: ")
    assert isinstance(result.exception, SystemExit)


def test_a_part_that_no_file_has_is_wrong_usage(folder: Path) -> None:
    name = write(folder, "services: {web: {environment: {A: b}}}", "compose.yaml")
    result = check("--env-file", name, "--part", "wbe")

    assert result.exit_code == USAGE
    assert "has no such service; it has web." in result.stderr


def test_of_many_faults_the_first_ones_are_told_and_the_others_counted(folder: Path) -> None:
    name = write(folder, GOOD + "not a line\n" * 5000)
    result = check("--env-file", name, "--format", "json")
    told = [each["message"] for each in json.loads(result.stdout)["findings"]]

    assert result.exit_code == REFUSED
    assert "4980 more faults of prod.env are not told, from line 28 on." in told
    assert len(told) == 21


def test_a_good_file_beside_an_unreadable_one_is_no_pass(folder: Path) -> None:
    result = check("--env-file", write(folder, GOOD), "--env-file", "missing.env")

    assert result.exit_code == USAGE


@pytest.mark.parametrize(
    "text",
    ["ENVIRONMENT=production\nSECRET_KEY=changeme\n", '{"SECRET_KEY": "changeme"}'],
    ids=["env file", "JSON"],
)
def test_standard_input_is_read(folder: Path, text: str) -> None:
    result = CliRunner().invoke(main, ["check", "--env-file", "-"], input=text)

    assert result.exit_code == REFUSED
    assert "SEC02 SECRET_KEY" in result.stdout
    assert "[standard input:" in result.stdout


def test_a_pipe_is_read_as_a_file_is(folder: Path) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(GOOD.replace(KEY, "changeme").encode())
    result = check("--env-file", f"/dev/fd/{reader}")
    os.close(reader)

    assert result.exit_code == REFUSED
    assert "SEC02 SECRET_KEY" in result.stdout


def test_a_pipe_that_nobody_writes_to_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SILENCE_SECONDS", 0.05)
    os.mkfifo(folder / "pipe")
    result = check("--env-file", "pipe")

    assert result.exit_code == USAGE
    assert "pipe is a pipe that does not come to an end." in result.stderr


def test_a_project_file_that_is_a_pipe_is_told_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "sidecar.toml")
    result = check("--env-file", write(folder, GOOD))

    assert "ENV07 sidecar.toml: sidecar.toml was left aside: it cannot be read." in result.stdout


def test_findings_name_their_workload_in_every_format(folder: Path) -> None:
    write(
        folder,
        "kind: Deployment\nmetadata: {name: api}\nspec:\n  template:\n    spec:\n"
        "      containers:\n"
        f"        - {{name: web, env: [{{name: SECRET_KEY, value: {KEY}}}]}}\n"
        "        - {name: worker, env: [{name: SECRET_KEY, value: changeme}]}\n",
        "api.yaml",
    )

    def told(output: str) -> str:
        return check("--env-file", "api.yaml", "--format", output).stdout

    worker = "deployment/api > container worker"
    document = json.loads(told("json"))
    sarif = json.loads(told("sarif"))["runs"][0]["results"]
    lacking = next(each for each in sarif if each["ruleId"] == "DB01")["locations"][0]

    assert "REFUSE  SEC02 SECRET_KEY: SECRET_KEY contains a placeholder" in told("text")
    assert f"[api.yaml:8, {worker}]" in told("text")
    assert told("text").splitlines()[-1].endswith("findings, 2 workloads, production.")
    assert document["status"] == "refused"
    assert [each["workload"] for each in document["findings"] if each["id"] == "SEC02"] == [worker]
    assert [each["workload"] for each in document["workloads"]] == [
        "deployment/api > container web",
        worker,
    ]
    assert f"::error file=api.yaml,line=8,title=SEC02 SECRET_KEY ({worker})::{worker}: " in told(
        "github"
    )
    assert lacking["physicalLocation"]["region"] == {"startLine": 7}
    assert lacking["logicalLocations"] == [{"fullyQualifiedName": "deployment/api > container web"}]


@pytest.mark.parametrize("url", ["postgresql://shop:Zr4tQ9wLk2Vn7Xc1@127.0.0.1:1/orders", ""])
def test_a_server_that_could_not_be_asked_is_no_pass(folder: Path, url: str) -> None:
    name = write(folder, f"ENVIRONMENT=development\nDATABASE_URL={url}\n")

    assert check("--env-file", name).exit_code == 0
    assert check("--env-file", name, "--live").exit_code == FAILED


def test_every_rule_has_a_heading() -> None:
    assert {rule.id.rstrip("0123456789") for rule in RULES} == {"APP", "DB", "ENV", "OPS", "SEC"}
