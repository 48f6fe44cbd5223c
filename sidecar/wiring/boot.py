"""What every process does first: read the environment, judge it, set up logs and telemetry."""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from sidecar.config import confidential, sidecar_file
from sidecar.config import environ as environment
from sidecar.config.environ import Environ
from sidecar.config.form import DEFAULT_SCHEMA
from sidecar.config.option import LogFormat
from sidecar.config.project_rules import ProjectRules
from sidecar.config.secret import Secret
from sidecar.config.settings import Settings, load
from sidecar.config.severity import Severity
from sidecar.lint.finding import Finding, Violation
from sidecar.lint.linter import Verdict, validate
from sidecar.lint.render import line
from sidecar.telemetry.identity import Identity
from sidecar.telemetry.logs import configure
from sidecar.telemetry.otel_variable import find_secrets
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.uncaught import redact_uncaught
from sidecar.version import __version__

_LEVELS: Final = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
    Severity.REFUSE: logging.CRITICAL,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Boot:
    """A process that knows its settings and can speak.

    Attributes:
        process: `probe`, `worker-1`, `app`.
        changes: Variables that this process was given beside its environment.
        redactor: Masks every secret of this process, in its log too.
    """

    process: str
    environ: Environ
    verdict: Verdict
    changes: Mapping[str, str]
    redactor: Redactor

    @property
    def settings(self) -> Settings:
        """The settings of the process."""
        return self.verdict.settings

    @property
    def service(self) -> str | None:
        """The name by which the service is known in telemetry; None if it has none of its own."""
        default = Settings().service_name
        name = Identity.find(default, "", "", plain(self.environ)).service_name
        return None if name == default else name

    @property
    def release(self) -> str:
        """Version of the service, as OTEL_RESOURCE_ATTRIBUTES names it; empty where it does not."""
        return Identity.find_release(plain(self.environ))

    @property
    def session_name(self) -> str:
        """What its sessions are called at the server; another schema than the default is named."""
        settings = self.settings
        schema = "" if settings.schema == DEFAULT_SCHEMA else f"/{settings.schema}"
        return f"{settings.service_name}{schema} {self.process}"

    def with_address(self, host: str | None, port: int | None) -> "Boot":
        """Return the same with another address to listen on, where one is given."""
        settings = replace(
            self.settings,
            host=self.settings.host if host is None else host,
            port=self.settings.port if port is None else port,
        )
        return replace(self, verdict=replace(self.verdict, settings=settings))

    def extended(self, more: Iterable[Violation]) -> "Boot":
        """Return the same with what was seen later."""
        return replace(self, verdict=self.verdict.extended(more))

    def child_environ(self, **more: str) -> dict[str, str]:
        """Return the environment for a process that this one starts."""
        return environment.inherit(**{**self.changes, **more})

    def start_telemetry(self) -> Telemetry:
        """Start traces and metrics; the caller closes them."""
        return Telemetry.start(
            self.settings.service_name,
            self.process,
            version=__version__,
            environ=plain(self.environ),
            own_process=True,
            redact=self.redactor,
        )


def prepare(process: str, changes: Mapping[str, str] | None = None, *, quiet: bool = False) -> Boot:
    """Read and judge the environment and set up logging; uncaught errors are redacted.

    `changes` are variables given beside the environment. `quiet` is for commands, whose output is
    their result: only warnings are logged, to standard error.
    """
    changes = changes or {}
    environ = environment.compose(environment.inherit(**changes), Path.cwd())
    verdict = validate(environ, now=datetime.now(UTC), repository=Path.cwd())
    settings = verdict.settings
    redactor = Redactor(secrets_of(settings, environ, verdict.project))
    redact_uncaught(redactor)
    configure(
        format="text" if quiet else _log_format(settings),
        level=logging.WARNING if quiet else settings.log_level.value,
        service=settings.service_name,
        process=process,
        stream=sys.stderr if quiet else sys.stdout,
        secrets=redactor,
    )
    return Boot(process, environ, verdict, changes, redactor)


def redact_environment(*more: Environ) -> Redactor:
    """Return what masks every secret of the environment as it is now, and of those beside it."""
    project, _ = sidecar_file.read(Path.cwd())
    environs = (environment.read(), *more)
    return Redactor(
        secret for each in environs for secret in secrets_of(load(each)[0], each, project)
    )


def secrets_of(settings: Settings, environ: Environ, project: ProjectRules) -> Iterator[Secret]:
    """Yield every secret of settings and environment, and those of telemetry's receivers."""
    values = (getattr(settings, field.name) for field in fields(settings))
    yield from (value for value in values if isinstance(value, Secret))
    yield from confidential.find_secrets(environ, project)
    yield from find_secrets(plain(environ))


def plain(environ: Environ) -> dict[str, str]:
    """Return every variable's value by name, as the telemetry takes them."""
    return {variable.name: variable.value for variable in environ}


def log_findings(findings: Iterable[Finding]) -> None:
    """Log each finding at the level of its severity."""
    for finding in findings:
        logger.log(
            _LEVELS[finding.severity] if finding.is_active else logging.INFO,
            "%s %s",
            line(finding),
            finding.hint,
            extra={
                "event": "sidecar.configuration.found",
                "finding": finding.id,
                "severity": finding.severity.value,
                "field": finding.field,
            },
        )


def _log_format(settings: Settings) -> Literal["json", "text"]:
    if settings.log_format is not LogFormat.AUTO:
        return "json" if settings.log_format is LogFormat.JSON else "text"
    return "text" if sys.stdout.isatty() else "json"
