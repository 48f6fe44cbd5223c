"""What must be true when the storm is over, told from the log and from what was acknowledged."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any, Final

from tests.incidents.chaos.crew import Crew
from tests.incidents.chaos.seat import SERVICE
from tests.incidents.chaos.upkeep import REASON

# So many of what is wrong with one stream are named.
NAMED: Final = 10

Versions = dict[str, list[int]]

_ORDERS: Final = "SELECT stream, array_agg(version ORDER BY {order}) FROM {table} GROUP BY 1"
_EXCUSES: Final = """
SELECT stream, min(version) FILTER (WHERE resolution IS NULL),
       coalesce(array_agg(version) FILTER (WHERE resolution = 'discarded'), '{}')
FROM sidecar.dead_letters WHERE projection = $1 GROUP BY 1
"""
_WRONG_SUMS: Final = """
SELECT account, cents, events FROM {book}
EXCEPT
SELECT e.data ->> 'account', sum((e.data ->> 'cents')::bigint)::bigint, count(*)
FROM {book}_lines l JOIN sidecar.events e ON e.stream = l.stream AND e.version = l.version
GROUP BY 1
"""
_GAPS: Final = """
SELECT gap FROM generate_series(1, (SELECT max(position) FROM sidecar.events)) AS gap
WHERE NOT EXISTS (SELECT FROM sidecar.events WHERE position = gap)
"""
_SKIPS: Final = """
SELECT generate_series(first_position, last_position) FROM sidecar.skipped_positions
"""
_STANDING: Final = """
SELECT projection, partition, position, state FROM sidecar.checkpoints
WHERE position <> (SELECT max(position) FROM sidecar.events) OR state <> 'running'
"""
_WAITING: Final = """
SELECT id FROM sidecar.dead_letters WHERE resolution IS NULL AND category = 'retry'
"""
_LETTERS: Final = """
SELECT id, projection, stream, position, category, resolution, reason FROM sidecar.dead_letters
"""
_SESSIONS: Final = """
SELECT usename || ' ' || application_name, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' GROUP BY 1
"""
_LEASES: Final = """
SELECT a.usename || ' ' || a.application_name, count(*) FILTER (WHERE l.classid = 7236174)
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory'
WHERE a.datname = current_database() AND a.application_name LIKE '% lease' GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why a stream may lack events: those from an open letter on wait, others were given up."""

    waits_from: int | None = None
    given_up: frozenset[int] = frozenset()


async def expect_acknowledged(crew: Crew) -> None:
    """What was acknowledged is in the log."""
    log = await _read_orders(crew, "sidecar.events", "position")
    lost = [(stream, v) for stream, v in crew.acknowledged() if v not in log.get(stream, ())]
    assert not lost, f"acknowledged and lost: {lost}"


async def expect_effects(crew: Crew, book: str) -> None:
    """Every event took effect once and in order, but for what a dead letter accounts for."""
    log = await _read_orders(crew, "sidecar.events", "position")
    found = await _read_orders(crew, f"{book}_lines", "line")
    excuses = {
        stream: Excuse(waits_from, frozenset(given_up))
        for stream, waits_from, given_up in await crew.query(_EXCUSES, book)
    }
    wrong = {
        stream: wrongs
        for stream in log | found
        if (wrongs := judge(log.get(stream, []), found.get(stream, []), excuses.get(stream)))
    }
    assert not wrong, f"{book}: {len(wrong)} streams, {_name_some(sorted(wrong.items()))}"
    sums = await crew.query(_WRONG_SUMS.format(book=book))
    assert not sums, f"{book}: {sums}"


def judge(log: list[int], found: list[int], excuse: Excuse | None) -> str:
    """Return what is wrong with the effects of one stream's events."""
    excuse = excuse or Excuse()
    turns = [f"{after} after {before}" for before, after in pairwise(found) if after <= before]
    if turns:
        return f"out of order or twice: {_name_some(turns)}"
    if not set(found) <= set(log):
        return f"never appended: {_name_some(sorted(set(found) - set(log)))}"
    waits = {v for v in log if excuse.waits_from is not None and v >= excuse.waits_from}
    if waits & set(found):
        return f"overtook what failed: {_name_some(sorted(waits & set(found)))}"
    if excuse.given_up & set(found):
        return f"given up, and applied: {_name_some(sorted(excuse.given_up & set(found)))}"
    missing = set(log) - set(found) - waits - excuse.given_up
    return f"lost: {_name_some(sorted(missing))}" if missing else ""


def _name_some(things: Sequence[object]) -> str:
    more = f" and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return ", ".join(map(str, things[:NAMED])) + more


async def expect_gaps_skipped(crew: Crew) -> int:
    """Each dead position was skipped once and recorded; return how many there are."""
    dead = {gap for (gap,) in await crew.query(_GAPS)}
    skipped = Counter(position for (position,) in await crew.query(_SKIPS))
    assert skipped.keys() == dead, f"unlike: {sorted(skipped.keys() ^ dead)}"
    twice = [position for position, times in skipped.items() if times > 1]
    assert not twice, f"skipped twice: {twice}"
    return len(dead)


async def is_at_head(crew: Crew) -> bool:
    """Tell whether every checkpoint is that of the last event."""
    return not await crew.query(_STANDING)


async def is_none_waiting(crew: Crew) -> bool:
    """Tell whether each event that waited for its next try was applied, or parked for good."""
    return not await crew.query(_WAITING)


async def is_shared_out(crew: Crew) -> bool:
    """Tell whether every worker is back and none holds more leases than its share."""
    held = [leases for _, leases in await crew.query(_LEASES)]
    [(partitions,)] = await crew.query("SELECT count(*) FROM sidecar.checkpoints")
    workers = sum(seat.places for seat in crew.seats)
    share = ceil(partitions / workers)
    return len(held) == workers and sum(held) == partitions and max(held) <= share


async def expect_told(crew: Crew) -> None:
    """Each dead letter was logged as it was written; what was given up bears its reason."""
    told = set(_read_failures(crew))
    streams = {(projection, stream) for projection, stream, _ in told}
    for letter in await crew.query(_LETTERS):
        _, projection, stream, position, category, resolution, reason = letter
        assert resolution != "discarded" or reason == REASON, letter
        # One that was made for what waited behind a discarded event has not failed itself.
        if category != "queued":
            assert (projection, stream) in streams, letter
            assert resolution or (projection, stream, position) in told, letter


def expect_clean_logs(crew: Crew) -> None:
    """No loop of ours crashed, and no traceback went past the log."""
    for seat in crew.seats:
        for log in seat.logs():
            assert "sidecar.runner.crashed" not in log, log
            assert "\nTraceback" not in log, log


async def are_sessions_in_bounds(crew: Crew) -> bool:
    """Tell whether each session at the server is one that somebody who runs should have."""
    most = {"postgres application": 6, "postgres chaos": 1}
    for seat in crew.seats:
        program = f"{seat.name} {SERVICE}"
        most |= {f"{program} probe watch": 1, f"{program} probe check": 1}
        for worker in range(1, seat.places + 1):
            name = f"{program} worker-{worker}"
            most |= {f"{name} pool": 8, f"{name} head": 1, f"{name} lease": 1}
    return all(count <= most.get(name, 0) for name, count in await crew.query(_SESSIONS))


async def _read_orders(crew: Crew, table: str, order: str) -> Versions:
    return dict(await crew.query(_ORDERS.format(table=table, order=order)))


def _read_failures(crew: Crew) -> Iterator[tuple[str, str, int]]:
    """Yield projection, stream and position of each event that a log says was parked."""
    lines = (
        line
        for seat in crew.seats
        for log in seat.logs()
        for line in log.splitlines()
        if "sidecar.event.failed" in line
    )
    for told in map(_read_line, lines):
        if told.get("action") == "park":
            yield told["projection"], told["stream"], told["position"]


def _read_line(line: str) -> dict[str, Any]:
    """Return a log line's values; none of one that a kill has cut off."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}
