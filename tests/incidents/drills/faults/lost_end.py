"""A log that comes back without its end, as from a backup or a replica that was behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg

from tests.incidents.drills.drill import Alert, Check, Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Plan, Stand
from tests.incidents.patience import eventually
from tests.postgres.restoring import back_up, restore

LOST: Final = 60
_OUTAGE: Final = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
_LAST: Final = "SELECT coalesce(max(position), 0) AS position FROM sidecar.events"


@asynccontextmanager
async def restored(stand: Stand) -> AsyncIterator[None]:
    """Go back to a backup; cured by the command that the sidecar gives."""
    await asyncio.to_thread(back_up, stand.cluster)
    saved = await _last_position(stand)

    async def has_grown() -> bool:
        return await _last_position(stand) > saved + LOST

    await eventually(has_grown)
    await asyncio.to_thread(restore, stand.cluster)
    yield
    message: str = stand.lines("sidecar.log.end_lost")[-1]["message"]
    token = message.partition("--log ")[2].split()[0]
    await stand.command("projections", "accept", "--log", token, "--reason", "a drill")


async def _last_position(stand: Stand) -> int:
    with suppress(*_OUTAGE):
        [row] = await stand.run(_LAST)
        return int(row["position"])
    return 0


DRILLS: Final = (
    Drill(
        name="log restored without its end",
        injected="the server is restored from a backup that lacks events; cured by `accept --log`",
        fault=restored,
        plan=Plan(target="tests.incidents.drills.faults.receipt_shop:publisher"),
        signals=Signals(
            alert=Alert("SidecarLogEndLost"),
            check=Check("event-log", "warn", "event-log.end-lost"),
            metric=Metric("sidecar_store_lost_events > 20"),
            log=Log("sidecar.log.end_lost"),
            letter=None,
            sentence=Sentence(r"The log has lost its end.* events are gone, positions \d+ to \d+"),
        ),
        quiet=("sidecar_dead_letters > 0",),
        after=("max(sidecar_store_lost_events) == 0",),
    ),
)
