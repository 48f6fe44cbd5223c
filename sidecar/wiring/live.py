"""The live rules, asked for by `sidecar check --live` and at boot; and what changed since boot."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sidecar.config.environ import Environ, reread
from sidecar.lint.change import changes, find_rotations
from sidecar.lint.config_report import Report
from sidecar.lint.finding import Violation
from sidecar.lint.linter import Verdict, validate
from sidecar.lint.rules.live_server import judge_live
from sidecar.postgres.server_inspection import inspect_server
from sidecar.wiring.boot import log_findings
from sidecar.wiring.custom_rules import ask_apart

APPLICATION_NAME: Final = "sidecar-check"
REFRESH_SECONDS: Final = 5.0
ASK_SECONDS: Final = 60.0


async def examine(verdict: Verdict, dsn: str | None = None) -> Verdict:
    """Return the verdict with what the server says; the same one without a DATABASE_URL.

    Args:
        verdict: What was found without asking anybody.
        dsn: The server; that of the settings when `None`.
    """
    url = verdict.settings.database_url
    address = dsn or (None if url is None else url.reveal())
    if address is None:
        return verdict
    server = await inspect_server(address, application_name=APPLICATION_NAME)
    return verdict.extended(judge_live(verdict.settings, server))


class LiveReport:
    """The report as things stand now: mounted secrets that were rotated are judged anew.

    Args:
        verdict: The verdict of boot; what the process works with.
        judge: Judges an environment; the wiring gives the repository along.
    """

    def __init__(self, verdict: Verdict, judge: Callable[[Environ], Verdict] | None = None) -> None:
        self._at_boot: Final = verdict
        self._judge: Final = judge or (lambda environ: validate(environ, now=datetime.now(UTC)))
        self._environ = verdict.environ
        self._verdict = verdict

    def refresh(self) -> bool:
        """Read the mounted files again, and return True when one is different; never raises."""
        fresh = reread(self._at_boot.environ)
        is_changed = bool(changes(self._environ, fresh))
        if is_changed:
            self._environ = fresh
            rotated = find_rotations(changes(self._at_boot.environ, fresh))
            self._verdict = self._judge(fresh).extended(rotated)
        return is_changed

    @property
    def verdict(self) -> Verdict:
        """What is found in the environment as it was last read."""
        return self._verdict

    def report(self, now: datetime, verdict: Verdict | None = None) -> Report:
        """Make the report with what changed since boot; `now` is aware UTC.

        Args:
            now: When it is made.
            verdict: One with more findings than its own.
        """
        return (verdict or self._verdict).report(now, changes(self._at_boot.environ, self._environ))


class Examination:
    """Judges the environment and the server again and again, in the probe process.

    Attributes:
        verdict: As things stand now, with what the workers found.

    Args:
        verdict: The verdict of boot.
        environ: Of the process, for the one that asks rules in code.
    """

    def __init__(self, verdict: Verdict, environ: Mapping[str, str]) -> None:
        self.verdict = verdict
        self._settings: Final = verdict.settings
        self._environ: Final = environ
        self._report: Final = LiveReport(verdict, _judge_here)
        self._dsn: str | None = None
        self._violations: tuple[Violation, ...] = ()
        self._custom_violations: tuple[Violation, ...] = ()
        self._worker_violations: tuple[Violation, ...] = ()

    def attach_database(self, dsn: str) -> None:
        """Ask this server from now on."""
        self._dsn = dsn

    def report(self, now: datetime) -> dict[str, Any]:
        """Make the report; `now` is aware UTC."""
        return self._report.report(now, self.verdict).as_dict()

    def take_in(self, violations: tuple[Violation, ...]) -> None:
        """Take in what workers found at their start, and have logged themselves."""
        if violations != self._worker_violations:
            self._worker_violations = violations
            self.verdict = self._judge()

    async def run(self) -> None:
        """Look at mounted files every few seconds, at the server every minute, until cancelled."""
        asked_mono = float("-inf")
        while True:
            if await asyncio.to_thread(self._report.refresh):
                project = self._report.verdict.project
                self._custom_violations = await ask_apart(project, self._environ)
            if self._dsn is not None and time.monotonic() - asked_mono > ASK_SECONDS:
                asked_mono = time.monotonic()
                server = await inspect_server(self._dsn, application_name=APPLICATION_NAME)
                self._violations = judge_live(self._settings, server)
            self._judge_and_log()
            await asyncio.sleep(REFRESH_SECONDS)

    def _judge(self) -> Verdict:
        more = (*self._custom_violations, *self._violations, *self._worker_violations)
        return self._report.verdict.extended(more)

    def _judge_and_log(self) -> None:
        known = {(f.id, f.field) for f in self.verdict.findings}
        self.verdict = self._judge()
        log_findings(f for f in self.verdict.findings if (f.id, f.field) not in known)


def _judge_here(environ: Environ) -> Verdict:
    return validate(environ, now=datetime.now(UTC), repository=Path.cwd())
