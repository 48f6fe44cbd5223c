"""The live rules, asked for by `sidecar check --live` and later on; and what changed since boot."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sidecar.config.environ import reread
from sidecar.lint.change import changes, find_rotations
from sidecar.lint.finding import Violation
from sidecar.lint.linter import Verdict, validate
from sidecar.lint.rules.live_server import judge_live
from sidecar.postgres.samples.server_inspection import inspect_server
from sidecar.wiring.boot import log_findings
from sidecar.wiring.custom_rules import ask_apart

APPLICATION_NAME: Final = "sidecar-check"
REFRESH_SECONDS: Final = 5.0
ASK_SECONDS: Final = 60.0


async def examine(verdict: Verdict) -> Verdict:
    """Return the verdict with what the server says; the same one without a DATABASE_URL."""
    url = verdict.settings.database_url
    return verdict if url is None else verdict.extended(await _ask(verdict, url.reveal()))


class Examination:
    """Judges the environment and the server again and again, in the probe process.

    Mounted secrets that were rotated are judged anew; the process works with those of boot.

    Attributes:
        verdict: As things stand now, with what the workers found; that of boot at first.

    Args:
        verdict: The verdict of boot.
        environ: For the process that asks rules in code.
    """

    def __init__(self, verdict: Verdict, environ: Mapping[str, str]) -> None:
        self.verdict = verdict
        self._at_boot: Final = verdict
        self._environ: Final = environ
        self._judged = verdict
        self._dsn: str | None = None
        self._of_server: tuple[Violation, ...] = ()
        self._of_code: tuple[Violation, ...] = ()
        self._of_workers: tuple[Violation, ...] = ()

    def attach_database(self, dsn: str) -> None:
        """Ask this server from now on."""
        self._dsn = dsn

    def report(self, now: datetime) -> dict[str, Any]:
        """Make the report with what changed since boot; `now` is aware UTC."""
        changed = changes(self._at_boot.environ, self._judged.environ)
        return self.verdict.report(now, changed).as_dict()

    def take_in(self, violations: tuple[Violation, ...]) -> None:
        """Take in what workers found at their start, and have logged themselves."""
        if violations != self._of_workers:
            self._of_workers = violations
            self.verdict = self.judge()

    async def run(self) -> None:
        """Look at mounted files every few seconds, at the server every minute, until cancelled."""
        asked_mono = float("-inf")
        while True:
            if await asyncio.to_thread(self.refresh):
                self._of_code = await ask_apart(self._judged.project, self._environ)
            if self._dsn is not None and time.monotonic() - asked_mono > ASK_SECONDS:
                asked_mono = time.monotonic()
                self._of_server = await _ask(self._at_boot, self._dsn)
            known = {(f.id, f.field) for f in self.verdict.findings}
            self.verdict = self.judge()
            log_findings(f for f in self.verdict.findings if (f.id, f.field) not in known)
            await asyncio.sleep(REFRESH_SECONDS)

    def refresh(self) -> bool:
        """Read the mounted files again, and return True when one is different; never raises."""
        fresh = reread(self._at_boot.environ)
        if not changes(self._judged.environ, fresh):
            return False
        rotated = find_rotations(changes(self._at_boot.environ, fresh))
        anew = validate(fresh, now=datetime.now(UTC), repository=Path.cwd())
        self._judged = anew.extended(rotated)
        return True

    def judge(self) -> Verdict:
        """Return the verdict on the environment as it was last read, with all that was found."""
        return self._judged.extended((*self._of_code, *self._of_server, *self._of_workers))


async def _ask(verdict: Verdict, dsn: str) -> tuple[Violation, ...]:
    server = await inspect_server(dsn, application_name=APPLICATION_NAME)
    return judge_live(verdict.settings, server)
