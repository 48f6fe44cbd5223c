"""What goes wrong while nobody is told on purpose."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.incidents.drills.drill import Alert, Check, Drill, Metric, Sentence, Signals
from tests.incidents.drills.stand import Stand
from tests.incidents.patience import eventually

ALERT: Final = "SidecarApplicationDown"
SILENCE_SECONDS: Final = 25.0
NOTICE_SECONDS: Final = 20.0


@asynccontextmanager
async def silenced_too_long(stand: Stand) -> AsyncIterator[None]:
    ends_at = datetime.now(UTC) + timedelta(seconds=SILENCE_SECONDS)
    await silence(stand, ends_at)
    stand.till.send_signal(signal.SIGSTOP)

    async def is_hushed() -> bool:
        return (await stand.tower.active()).get(ALERT) == "suppressed"

    await eventually(is_hushed, NOTICE_SECONDS)
    assert datetime.now(UTC) < ends_at
    assert stand.receiver.names() == set()
    yield
    stand.till.send_signal(signal.SIGCONT)


async def silence(stand: Stand, ends_at: datetime) -> None:
    """Silence the alert as somebody does who is about to repair what it is about."""
    matcher = {"name": "alertname", "value": ALERT, "isRegex": False, "isEqual": True}
    words = {
        "matchers": [matcher],
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": ends_at.isoformat(),
        "createdBy": "drill",
        "comment": "about to be repaired",
    }
    async with stand.tower.http.post(f"{stand.alertmanager}/api/v2/silences", json=words) as answer:
        assert answer.status == 200, await answer.text()


DRILLS: Final = (
    Drill(
        name="silence that expires",
        injected=f"the application is stopped under a silence of {SILENCE_SECONDS:.0f} s",
        fault=silenced_too_long,
        signals=Signals(
            alert=Alert(ALERT),
            check=Check("application", "fail", "application.silent"),
            metric=Metric(f'ALERTS{{alertname="{ALERT}",alertstate="firing"}}'),
            log=None,
            letter=None,
            sentence=Sentence(r"Not ready: .*application"),
        ),
        symptoms=frozenset({"SidecarNotReady"}),
    ),
)
