"""What people do meanwhile: rebuilds begun, cancelled and resumed, dead letters handled."""

import asyncio
import random
from contextlib import suppress
from typing import Final

from sidecar.errors import ProjectionError, UsageError
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.rebuild.rebuild import cancel_rebuild, drop_old_copy, start_rebuild
from tests.incidents.chaos.crew import Crew
from tests.incidents.chaos.process_fault import kill_worker
from tests.incidents.chaos.service import BOOKS, FRAGILE
from tests.incidents.ledger import Rows

NAMES: Final = (*(book.name for book in BOOKS), FRAGILE.name)
MAX_REBUILD_SECONDS: Final = 2.0
REASON: Final = "given up by the storm"

_REBUILDS: Final = """
SELECT projection, partition, position, state FROM sidecar.checkpoints
WHERE copy = 'rebuild' ORDER BY projection, partition
"""
_OPEN: Final = """
SELECT id, stream FROM sidecar.dead_letters WHERE resolution IS NULL ORDER BY random() LIMIT $1
"""
_CURE: Final = """
INSERT INTO cured SELECT substr(unnest($1::text[]), length('account-') + 1)
ON CONFLICT DO NOTHING RETURNING account
"""
_VANISHING: Final = "SELECT projection FROM sidecar.previews WHERE needs_approval"
_FALL_ILL: Final = "DELETE FROM cured RETURNING account"


async def rebuild(crew: Crew, chance: random.Random) -> str:
    """Begin a rebuild, or resume one that stopped, and leave it to the workers.

    Nothing is approved: every row was made of an event that is still there, so none may vanish.
    """
    await note_vanishing(crew)
    name = chance.choice(NAMES)
    code = await crew.command("projections", "rebuild", name, "--no-wait")
    return f"{name}: exit code {code}"


async def rebuild_and_kill(crew: Crew, chance: random.Random) -> str:
    """Kill a worker while it, or another one, rebuilds."""
    name = chance.choice(NAMES)
    async with crew.session() as connection:
        await start_rebuild(connection, name)
    await asyncio.sleep(chance.uniform(0, MAX_REBUILD_SECONDS))
    return f"{name}, {await kill_worker(crew, chance)}"


async def rebuild_and_cancel(crew: Crew, chance: random.Random) -> str:
    """Cancel a rebuild, if it is not over by then, and begin it again."""
    name = chance.choice(NAMES)
    cancelled = "too late to cancel"
    async with crew.session() as connection:
        await start_rebuild(connection, name)
        await asyncio.sleep(chance.uniform(0, MAX_REBUILD_SECONDS))
        with suppress(ProjectionError):
            await cancel_rebuild(connection, name)
            cancelled = "cancelled"
        with suppress(ProjectionError):
            await drop_old_copy(connection, name)
        await start_rebuild(connection, name)
    return f"{name}, {cancelled}"


async def retry(crew: Crew, chance: random.Random) -> str:
    """Cure some accounts, or none, and have their letters retried."""
    letters = await crew.query(_OPEN, chance.randint(1, 10))
    cured = [stream for _, stream in letters if chance.random() < 0.8]
    await crew.query(_CURE, cured)
    for number, _ in letters[:2]:
        await crew.command("dead-letters", "retry", str(number), "--no-wait")
    return f"{len(letters)} letters, {len(cured)} cured"


async def retry_all(crew: Crew, _chance: random.Random) -> str:
    return f"exit code {await crew.command('dead-letters', 'retry', '--all', '--no-wait')}"


async def give_up(crew: Crew, chance: random.Random) -> str:
    """Discard some letters with a reason."""
    letters = await crew.query(_OPEN, chance.randint(1, 3))
    async with crew.session() as connection:
        for number, _ in letters:
            # Its worker may have taken it up meanwhile.
            with suppress(UsageError):
                await discard(connection, number, REASON)
    return f"{len(letters)} letters"


async def fall_ill(crew: Crew, _chance: random.Random) -> str:
    """Undo every cure, so that later poison finds victims again."""
    return f"{len(await crew.query(_FALL_ILL))} accounts"


async def cure_all(crew: Crew) -> None:
    """Cure whatever is parked and have it retried."""
    await crew.query(_CURE, [stream for _, stream in await crew.query(_OPEN, None)])
    assert await crew.command("dead-letters", "retry", "--all", "--no-wait") == 0


async def note_vanishing(crew: Crew) -> None:
    """Note the rebuilds whose swap would take rows away."""
    crew.wrongs.extend(f"rows of {name} would vanish" for (name,) in await crew.query(_VANISHING))


async def end_rebuilds(crew: Crew) -> Rows:
    """Cancel the rebuilds that stopped at poison, and return how far the others are."""
    await note_vanishing(crew)
    rows = await crew.query(_REBUILDS)
    async with crew.session() as connection:
        for name in {name for name, _, _, state in rows if state == "failed"}:
            await cancel_rebuild(connection, name)
    return rows
