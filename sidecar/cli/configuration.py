"""Commands about the configuration."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from sidecar.cli.invocation import finish
from sidecar.config import environ as environment
from sidecar.config import sidecar_file
from sidecar.config.bounded import STANDARD_INPUT
from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.secret import generate
from sidecar.config.severity import Severity
from sidecar.config.variable import ENV_FILE, PROCESS
from sidecar.errors import UsageError
from sidecar.lint import custom_rule, example
from sidecar.lint.annotation import github_lines, sarif
from sidecar.lint.deployment import Deployment, Workload, read_deployment
from sidecar.lint.file_access import exposures
from sidecar.lint.finding import Finding
from sidecar.lint.linter import validate_all
from sidecar.lint.render import groups, summary, workloads
from sidecar.lint.repair import left_alone, repair, repairable
from sidecar.lint.result import LintResult
from sidecar.lint.rules.live_server import DB16
from sidecar.lint.source.file import Dialect
from sidecar.process.exit_code import EX_CONFIG, EX_FAILED, EX_USAGE
from sidecar.telemetry.terminal import Screen, say, say_json
from sidecar.telemetry.uncaught import redact_uncaught, tell_exit
from sidecar.telemetry.visible import visible
from sidecar.version import __version__
from sidecar.wiring.boot import redact_environment
from sidecar.wiring.custom_rules import ask_here
from sidecar.wiring.live import examine

_STYLES: Final = {
    Severity.INFO: "cyan",
    Severity.WARNING: "yellow",
    Severity.ERROR: "red",
    Severity.REFUSE: "bold red",
}
_FILE: Final = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """The arguments of `sidecar check`."""

    files: tuple[Path, ...]
    dialect: Dialect
    part: str | None
    environment: str | None
    examples: tuple[Path, ...]

    def gather(self, *, to_fix: bool) -> Deployment:
        """Take the environments from the files, or from this process when there are none."""
        if not self.files:
            return Deployment((self._process(environment.read()),))
        files = [each for each in self.files if not to_fix or each.exists()]
        if not files:
            return Deployment((self._process(Environ.of({})),))
        return read_deployment(
            files, dialect=self.dialect, part=self.part, environment=self.environment
        )

    def lint(self, *, to_fix: bool = False) -> LintResult:
        """Check them with every rule that needs no server.

        Args:
            to_fix: Missing secrets will be written, so a file that is not there counts as empty.
        """
        repository = Path.cwd()
        project, _ = sidecar_file.read(repository)
        deployment = self.gather(to_fix=to_fix)
        redact_uncaught(redact_environment(*(each.environ for each in deployment.workloads)))
        # Rules in code may print; that must not mix with the result.
        with redirect_stdout(sys.stderr), _refuse_exit():
            rules, faults = custom_rule.load(project.rules)
            verdicts = validate_all(
                deployment.workloads,
                now=datetime.now(UTC),
                repository=repository,
                examples=self.examples,
                rules=rules,
            )
        extended = (each.extended(faults) if faults else each for each in verdicts)
        return LintResult(tuple(extended), (*deployment.unread, *example.unread(self.examples)))

    def _process(self, environ: Environ) -> Workload:
        if self.environment is not None:
            environ = environ.with_environment(self.environment)
        return Workload.of(environ)


@click.command()
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    show_default=True,
    help="How to print.",
)
@click.option(
    "--env-file",
    "files",
    type=_FILE,
    multiple=True,
    help="Judge this file instead of the environment: for docker --env-file, a compose file, "
    "Kubernetes manifests or JSON from Doppler; - for standard input. Repeat it: later ones win.",
)
@click.option(
    "--as",
    "dialect",
    type=click.Choice([each.value for each in Dialect]),
    default=Dialect.AUTO.value,
    show_default=True,
    help="Who would read the files.",
)
@click.option("--part", help="The service of the compose file, or the container of the manifest.")
@click.option(
    "--environment",
    type=click.Choice([each.value for each in Environment]),
    help="Judge as for this environment, whatever ENVIRONMENT says.",
)
@click.option(
    "--example", "examples", type=_FILE, multiple=True, help="One more file of published values."
)
@click.option("--strict", is_flag=True, help="Exit with 78 for warnings and errors too.")
@click.option("--live", is_flag=True, help="Ask the server of DATABASE_URL too.")
@click.option("--fix", is_flag=True, help="Write missing secrets into the env file, over none.")
def check(  # noqa: PLR0913 - one parameter for each option, as click wants it
    *,
    output: str,
    files: tuple[Path, ...],
    dialect: str,
    part: str | None,
    environment: str | None,
    examples: tuple[Path, ...],
    strict: bool,
    live: bool,
    fix: bool,
) -> None:
    """Judge the environment; exit with 78 when a start would be refused."""
    request = CheckRequest(files, Dialect(dialect), part, environment, examples)
    result = request.lint(to_fix=fix)
    if fix:
        result = _fixed(request, result)
    unasked = ""
    if live:
        result, unasked = _asked(result)
    _print(result, output)
    for reason in (*result.unread, *filter(None, (unasked,))):
        say(f"Error: {reason}", err=True)
    least = Severity.WARNING if strict else Severity.REFUSE
    sys.exit(_exit_code(result, least, is_asked=not unasked))


@click.command(hidden=True)
def own_rules() -> None:
    """Run the project's rules in code for a `sidecar serve` that starts."""
    with redirect_stdout(sys.stderr):
        project, _ = sidecar_file.read(Path.cwd())
        seen = ask_here(project, environment.read())
    say_json(seen)


@click.command()
def secret() -> None:
    """Print a good secret."""
    say(generate().reveal())


@contextmanager
def _refuse_exit() -> Iterator[None]:
    """Refuse rules that end the process: exit code 0 would pass an unchecked environment."""
    try:
        yield
    except SystemExit as ending:
        tell_exit(ending)
        raise UsageError("A rule in code ended the check; let it yield or return.") from None


def _exit_code(result: LintResult, least: Severity, *, is_asked: bool) -> int:
    if result.unread:
        return EX_USAGE
    if result.has(least):
        return EX_CONFIG
    return 0 if is_asked else EX_FAILED


def _asked(result: LintResult) -> tuple[LintResult, str]:
    """Run the rules that ask a server; also return why one could not be asked, or nothing."""
    if not any(each.settings.database_url for each in result.verdicts):
        return result, "--live has no server to ask: DATABASE_URL is not set."
    verdicts = tuple(finish(examine(each)) for each in result.verdicts)
    result = replace(result, verdicts=verdicts)
    unasked = "The server of DATABASE_URL could not be asked." if result.has_active(DB16.id) else ""
    return result, unasked


def _fixed(request: CheckRequest, result: LintResult) -> LintResult:
    """Write missing secrets, print which, and what is left to a person; then check again."""
    path = request.files[-1] if request.files else Path(ENV_FILE)
    if path.suffix.lower() in {".json", ".yaml", ".yml"} or path == STANDARD_INPUT:
        raise UsageError(f"--fix writes into env files only, and {path} is none.")
    lengths = result.verdicts[0].project.bytes
    try:
        written = repair(path, repairable(result.findings), lengths)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be written: {type(error).__name__}.") from error
    for name in written:
        say(f"Wrote {name} into {path}", err=True)
    for warning in exposures(path) if written else ():
        say(f"Warning: {warning}", err=True)
    for name, reason in left_alone(result.findings):
        say(f"Left {name} alone: {reason}.", err=True)
    return request.lint()


def _print(result: LintResult, output: str) -> None:
    match output:
        case "json":
            say_json(result.as_dict())
        case "sarif":
            say_json(sarif(result.findings, __version__, result.origins))
        case "github":
            for text in github_lines(result.findings, result.origins):
                say(visible(text))
        case _:
            _print_text(result.findings)
            say(summary(result))


def _print_text(findings: Sequence[Finding]) -> None:
    """Print groups with a heading each; colours only where a terminal shows them."""
    screen = Screen()
    for workload, found in workloads(findings):
        if workload is not None:
            screen.say((workload, "bold underline"))
        for heading, members in groups(found):
            screen.say((heading, "bold"))
            for finding in members:
                _say_finding(screen, finding)


def _say_finding(screen: Screen, finding: Finding) -> None:
    style = _STYLES[finding.severity] if finding.is_active else "dim"
    places = (finding.place if finding.place != PROCESS else None, finding.workload)
    place = ", ".join(filter(None, places))
    place = f" [{place}]" if place else ""
    silenced = "" if finding.is_active else f" (silenced: {finding.silenced_by})"
    screen.say(
        (f"  {finding.severity.upper():7}", style),
        f" {finding.id} {finding.field}: {finding.message}{place}{silenced}",
    )
    screen.say((f"          {finding.hint}", "dim"))
