"""Faults of the server and of sessions at it. Each returns what it did to whom."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import asyncpg
import psutil

from tests.incidents.chaos.crew import OUTAGES, Crew
from tests.incidents.patience import eventually

MAX_DOWN_SECONDS: Final = 1.0
MAX_FROZEN_SECONDS: Final = 3.0
MAX_HELD_SECONDS: Final = 4.0
PREPARED_SECONDS: Final = 30.0
SESSIONS: Final = ("% pool", "% head", "% lease", "% probe watch", "% probe check", "application")

_TERMINATE: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name LIKE $1 AND datname = current_database() ORDER BY random() LIMIT 1
"""
_APPEND: Final = """
INSERT INTO sidecar.events (stream, version, type, data)
VALUES ('account-' || $1::text, 1, 'Paid', json_build_object('account', $1::text, 'cents', 1))
"""


async def end_session(crew: Crew, chance: random.Random) -> str:
    name = chance.choice(SESSIONS)
    ended = await crew.query(_TERMINATE, name)
    return f"{len(ended)} of {name}"


async def restart_postgres(crew: Crew, chance: random.Random) -> str:
    mode, seconds = chance.choice(("immediate", "fast")), chance.uniform(0, MAX_DOWN_SECONDS)
    async with crew.server:
        await asyncio.to_thread(crew.cluster.stop, mode)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(crew.cluster.start)
    return f"{mode}, away for {seconds:.1f} s"


async def freeze_postgres(crew: Crew, chance: random.Random) -> str:
    seconds = chance.uniform(0.5, MAX_FROZEN_SECONDS)
    async with crew.server:
        with _frozen(crew.cluster.pid):
            await asyncio.sleep(seconds)
    return f"for {seconds:.1f} s"


async def hold_head(crew: Crew, chance: random.Random) -> str:
    """Append and leave the transaction idle; late it commits, or not."""
    account, seconds, commits = _draw(chance)
    async with crew.session() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(_APPEND, account)
        await asyncio.sleep(seconds)
        await (transaction.commit() if commits else transaction.rollback())
    return f"{account} {'committed' if commits else 'rolled back'} after {seconds:.1f} s"


async def hold_head_prepared(crew: Crew, chance: random.Random) -> str:
    """The same by a prepared transaction, which a restart of the server does not end."""
    account, seconds, commits = _draw(chance)
    # Cut off in the middle, it may be prepared or not; either way it has to end.
    with suppress(*OUTAGES):
        async with crew.session() as connection:
            await connection.execute("BEGIN")
            await connection.execute(_APPEND, account)
            await connection.execute(f"PREPARE TRANSACTION '{account}'")
    await asyncio.sleep(seconds)

    async def is_over() -> bool:
        try:
            async with crew.session() as connection:
                await connection.execute(
                    f"{'COMMIT' if commits else 'ROLLBACK'} PREPARED '{account}'"
                )
        except asyncpg.UndefinedObjectError:
            return True
        except OUTAGES:
            return False
        return True

    await eventually(is_over, PREPARED_SECONDS)
    return f"{account} {'committed' if commits else 'rolled back'} after {seconds:.1f} s"


def _draw(chance: random.Random) -> tuple[str, float, bool]:
    """Return an account of its own, for how long it is held, and whether it is committed."""
    account = f"late-{chance.randrange(10**9)}"
    return account, chance.uniform(0.2, MAX_HELD_SECONDS), chance.random() < 0.5


@contextmanager
def _frozen(postmaster_pid: int) -> Iterator[None]:
    """Let nothing of the server run for the length of the block."""
    postmaster = psutil.Process(postmaster_pid)
    postmaster.suspend()
    frozen = [*postmaster.children(), postmaster]
    try:
        for process in frozen[:-1]:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()
