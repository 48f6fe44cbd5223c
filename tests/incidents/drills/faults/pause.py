"""What goes wrong when processes stand still for a while and then go on as if nothing were."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import psutil

from tests.incidents.drills.drill import Alert, Drill, Log, Metric, Signals
from tests.incidents.drills.stand import Plan, Stand
from tests.incidents.patience import eventually
from tests.incidents.program import Program
from tests.port import free_port

STANDBY: Final = "standby"
TAKEOVER_SECONDS: Final = 20.0
_LEASES: Final = """
SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.classid = 7236174 AND l.granted AND a.application_name LIKE $1
"""
# What the server ends when a machine has not answered for some seconds; its other sessions are not
# missed by anybody, and are left so that they can do harm.
_FORGET: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name NOT LIKE $1
  AND (application_name LIKE '%worker-1 lease' OR state LIKE 'idle in transaction%')
"""


@contextmanager
def stopped(*programs: Program) -> Iterator[None]:
    """Stop every process of some programs for the block."""
    members = [psutil.Process(pid) for program in programs for pid in program.family.members()]
    for member in members:
        member.suspend()
    try:
        yield
    finally:
        for member in members:
            member.resume()


@asynccontextmanager
async def with_standby(stand: Stand) -> AsyncIterator[None]:
    """Run a second sidecar on another machine, as it were; nobody watches that one."""
    async with stand.serving(free_port(), OTEL_SERVICE_NAME=STANDBY) as standby:
        stand.rig[STANDBY] = standby
        yield


@asynccontextmanager
async def machine_paused(stand: Stand) -> AsyncIterator[None]:
    async def shares() -> bool:
        return 0 < await count_leases(stand) < 3

    await eventually(shares, TAKEOVER_SECONDS)
    with stopped(stand.program):
        await stand.run(_FORGET, f"{STANDBY}%")
        await eventually(lambda: has_all(stand), TAKEOVER_SECONDS)
        yield


async def has_all(stand: Stand) -> bool:
    return await count_leases(stand) == 3


async def count_leases(stand: Stand) -> int:
    """Return how many projections the standby runs."""
    [row] = await stand.run(_LEASES, f"{STANDBY}%")
    return int(row["count"])


@asynccontextmanager
async def probe_frozen(stand: Stand) -> AsyncIterator[None]:
    stand.program.send(signal.SIGSTOP)
    yield
    stand.program.send(signal.SIGCONT)


DRILLS: Final = (
    Drill(
        name="two sidecars with one lease after a pause",
        injected="a sidecar and its worker are stopped, another takes over, the first goes on",
        fault=machine_paused,
        signals=Signals(
            alert=Alert("SidecarDown"),
            check=None,
            metric=Metric('up{job="sidecar"} == 0'),
            log=Log("sidecar.lease.taken"),
            letter=None,
            sentence=None,
        ),
        after=('sidecar_ready{process="probe"} == 1',),
        plan=Plan(prepare=with_standby),
        answers=False,
    ),
    Drill(
        name="probe process frozen",
        injected="SIGSTOP to `sidecar serve` alone; its worker goes on",
        fault=probe_frozen,
        signals=Signals(
            alert=Alert("SidecarDown"),
            check=None,
            metric=Metric('up{job="sidecar"} == 0'),
            log=None,
            letter=None,
            sentence=None,
        ),
        after=(
            'sidecar_ready{process="probe"} == 1',
            "sum(sidecar_worker_restarts_total) == 0",
        ),
        answers=False,
    ),
)
