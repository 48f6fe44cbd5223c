"""Read models replayed meanwhile: verified beside everything else, and swapped again and again."""

import asyncio
import random
from contextlib import suppress
from functools import partial
from typing import Final

from sidecar.errors import ProjectionError
from sidecar.postgres.rebuild.rebuild import cancel_rebuild, drop_old_copy, start_rebuild
from sidecar.postgres.verify.verification import cancel_verification, request_verification
from tests.incidents.chaos.crew import OUTAGES, Crew
from tests.incidents.chaos.service import BOOKS, FRAGILE, POISON
from tests.incidents.patience import eventually

NAMES: Final = (*(book.name for book in BOOKS), FRAGILE.name)
MAX_VERIFY_SECONDS: Final = 2.0
SWAP_SECONDS: Final = 10.0
VERIFY_SECONDS: Final = 120.0
SWAPPED: Final = "swapped"

_REBUILD: Final = "SELECT state FROM sidecar.checkpoints WHERE copy = 'rebuild' AND projection = $1"
_SWAPPED: Final = """
SELECT to_regnamespace('sidecar_old_' || $1) IS NOT NULL
   AND NOT EXISTS (SELECT FROM sidecar.checkpoints WHERE copy = 'rebuild' AND projection = $1)
"""
_RUNNING: Final = "SELECT projection FROM sidecar.verifications WHERE state = 'running'"
_EQUAL: Final = "SELECT count(*) FROM sidecar.verifications WHERE state = 'equal'"
_ENDED: Final = "SELECT state, count(*) FROM sidecar.verifications GROUP BY 1 ORDER BY 1"
_DRIFTED: Final = """
SELECT projection, position, drift_rows, report::text FROM sidecar.verifications
WHERE state = 'drifted'
"""
_CURE_ALL: Final = """
INSERT INTO cured SELECT DISTINCT data ->> 'account' FROM sidecar.events
WHERE data ->> 'memo' = $1 ON CONFLICT DO NOTHING RETURNING account
"""


async def verify(crew: Crew, chance: random.Random) -> str:
    """Ask for a verification at full speed, and leave it to the workers."""
    name = chance.choice(NAMES)
    async with crew.session() as connection:
        is_new = await request_verification(connection, name)
    return name if is_new else f"{name}: under way"


async def verify_in_background(crew: Crew, chance: random.Random) -> str:
    """The same by the command, at a tenth of a core."""
    name = chance.choice(NAMES)
    return f"{name}: exit code {await crew.command('projections', 'verify', name, '--background')}"


async def verify_and_cancel(crew: Crew, chance: random.Random) -> str:
    """Cancel a verification, if it is not over by then."""
    name = chance.choice(NAMES)
    async with crew.session() as connection:
        await request_verification(connection, name)
        await asyncio.sleep(chance.uniform(0, MAX_VERIFY_SECONDS))
        try:
            await cancel_verification(connection, name)
        except ProjectionError:
            return f"{name}: too late to cancel"
    return name


async def swap_again(crew: Crew, chance: random.Random) -> str:
    """Rebuild a book to the swap, and give up what does not come so far."""
    name = chance.choice(NAMES)
    async with crew.session() as connection:
        # One of an earlier rebuild would be in the way of the next.
        with suppress(ProjectionError):
            await drop_old_copy(connection, name)
        await start_rebuild(connection, name)
    try:
        await eventually(partial(_is_swapped, crew, name), SWAP_SECONDS)
    except AssertionError:
        return f"{name}: not swapped in {SWAP_SECONDS:g} s"
    finally:
        await _end(crew, name)
    return f"{name}: {SWAPPED}"


async def _is_swapped(crew: Crew, name: str) -> bool:
    try:
        return await crew.query(_SWAPPED, name) == [(True,)]
    except OUTAGES:
        return False


async def _end(crew: Crew, name: str) -> None:
    """Cancel a rebuild that is not over, such as one that stopped at poison."""
    with suppress(*OUTAGES, ProjectionError):
        if await crew.query(_REBUILD, name):
            async with crew.session() as connection:
                await cancel_rebuild(connection, name)


async def end_verifications(crew: Crew) -> None:
    """Cancel what is under way: in the background it would take its time."""
    async with crew.session() as connection:
        for (name,) in await crew.query(_RUNNING):
            # It may be over by now.
            with suppress(ProjectionError):
                await cancel_verification(connection, name)


async def count_equal(crew: Crew) -> int:
    """Return how many verifications came to their end and found nothing."""
    [(equal,)] = await crew.query(_EQUAL)
    return int(equal)


async def expect_no_drift(crew: Crew) -> str:
    """No verification has found anything, and one of each read model finds nothing now."""
    await crew.query(_CURE_ALL, POISON)
    words = ("projections", "verify", "--all", "--format", "json")
    code = await crew.command(*words, within_seconds=VERIFY_SECONDS)
    drifted = await crew.query(_DRIFTED)
    assert not drifted, drifted
    ended: dict[str, int] = dict(await crew.query(_ENDED))
    assert code == 0, ended
    return ", ".join(f"{count} {state}" for state, count in ended.items())
