"""What must hold of a service at rest: what its read model lacks is told."""

from typing import Final

import asyncpg

from sidecar.projections.passed_over import PassedOver
from tests.postgres.deploying import Service
from tests.postgres.release_code import Code


async def check(service: Service, code: Code) -> None:
    """Compare what is told with what the read model lacks, which a release runs."""
    status = await service.status()
    missing = await service.missing(code)
    await _check_parked(service, code)
    lacking = [row for row in missing if not row["is_parked"]]
    told = {one.type: one for one in status.passed_over}
    has_waited = await service.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters")
    is_exact = not has_waited and not service.oracle.accepted
    for kind in {row["type"] for row in lacking}:
        positions = [row["position"] for row in lacking if row["type"] == kind]
        assert kind in told, f"silent: {kind} at {positions}, told {told}"
        _check_told(told[kind], positions, is_exact=is_exact)
    # One whose type a newer release has retired which came to nothing is told, and blocks nothing.
    wanted = code.handled_names() - service.oracle.retired
    if any(row["type"] in wanted for row in lacking):
        assert status.block == "passed_over", status
        assert f"sidecar projections rebuild {service.name}" in str(status.detail)
    assert await service.pool.fetchval(DISORDER) == 0


def _check_told(one: PassedOver, positions: list[int], *, is_exact: bool) -> None:
    said = (one.events, one.first_position, one.last_position)
    if is_exact:
        assert said == (len(positions), min(positions), max(positions))
    assert one.events >= len(positions)
    assert one.first_position <= min(positions)
    assert one.last_position >= max(positions)


async def _check_parked(service: Service, code: Code) -> None:
    """Each stream that waits names the first event that it waits for, and its type."""
    missing = await service.lacking(code)
    letters = await service.letters()
    assert {row["category"] for row in letters} <= {"unknown-type", "queued", "decode"}, letters
    waiting = {row["stream"]: row for row in letters}
    first: dict[str, asyncpg.Record] = {}
    for row in missing:
        if row["is_parked"]:
            first.setdefault(row["stream"], row)
    for stream, letter in waiting.items():
        if letter["category"] in {"unknown-type", "decode"}:
            row = first[stream]
            assert (row["position"], row["type"]) == (letter["position"], letter["event_type"])


# A rebuild fills a table of its own, so that lines ascend in each.
DISORDER: Final = """
    SELECT count(*) FROM (
        SELECT s.line, lag(s.line) OVER (PARTITION BY e.stream ORDER BY e.version) AS before
        FROM seen s JOIN sidecar.events e USING (position)
    ) AS lines WHERE before > line
"""
