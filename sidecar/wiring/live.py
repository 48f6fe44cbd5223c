"""The live rules, asked for by `sidecar check --live` and at boot; and what changed since boot."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from sidecar.config.change import changes
from sidecar.config.environ import Environ, reread
from sidecar.config.report import Report
from sidecar.config.rules.live import judge_live
from sidecar.config.verdict import Verdict, validate
from sidecar.postgres.live import ask

APPLICATION_NAME: Final = "sidecar-check"


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
    server = await ask(address, application_name=APPLICATION_NAME)
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
        """Read the mounted files again, and tell whether one is different; never raises."""
        fresh = reread(self._at_boot.environ)
        is_changed = bool(changes(self._environ, fresh))
        if is_changed:
            self._environ = fresh
            self._verdict = self._judge(fresh)
        return is_changed

    @property
    def verdict(self) -> Verdict:
        """What is found in the environment as it was last read."""
        return self._verdict

    def report(self, now: datetime) -> Report:
        """Make the report with what changed since boot; `now` is aware UTC."""
        return self._verdict.report(now, changes(self._at_boot.environ, self._environ))
