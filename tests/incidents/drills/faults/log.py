"""What is wrong with a row of the log: nobody can read it, or nobody knows it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.incidents.drills.drill import (
    Alert,
    Check,
    Drill,
    Letter,
    Log,
    Metric,
    Sentence,
    Signals,
)
from tests.incidents.drills.stand import Plan, Stand
from tests.incidents.patience import eventually

UNKNOWN_EVENTS: Final = 50
DEPLOY_SECONDS: Final = 40.0
_INSERT: Final = """
INSERT INTO sidecar.events (stream, version, type, schema_version, data)
VALUES ($1, 1, $2, $3, $4)
"""
_CATEGORIES: Final = """
SELECT DISTINCT category FROM sidecar.dead_letters WHERE resolution IS NULL
"""


async def write(stand: Stand, name: str, type_: str, version: int = 1, **data: object) -> None:
    """Write a row as only another program could: no type of the shop's has such a form."""
    await stand.run(_INSERT, f"order-{name}", type_, version, json.dumps(data))


async def is_run(stand: Stand) -> bool:
    """Tell whether somebody runs every projection."""
    if not await stand.program.is_ready():
        return False
    projections = (await stand.program.status())["projections"]
    return bool(projections) and all(one["owner"] for one in projections)


async def expect_category(stand: Stand, category: str) -> None:
    rows = await stand.run(_CATEGORIES)
    assert [row["category"] for row in rows] == [category]


@asynccontextmanager
async def from_the_future(stand: Stand) -> AsyncIterator[None]:
    order = {"order_id": "new", "customer": "Ada", "country": "Kenya", "cents": 900}
    await write(stand, "new", "OrderPlaced", 2, **order, currency="KES")
    yield
    await expect_category(stand, "decode")
    stand.variables["SHOP_RELEASE"] = "2"
    await stand.restart_program()
    await eventually(lambda: is_run(stand), DEPLOY_SECONDS)
    await stand.command("dead-letters", "retry", "--all")


@asynccontextmanager
async def malformed(stand: Stand) -> AsyncIterator[None]:
    await write(stand, "malformed", "OrderShipped", order_id=["not", "a", "text"])
    yield
    await expect_category(stand, "decode")
    listed = await stand.command("dead-letters", "list", "--format", "json")
    (letter,) = json.loads(listed)
    await stand.command("dead-letters", "discard", str(letter["id"]), "--reason", "no such order")


@asynccontextmanager
async def unknown(stand: Stand) -> AsyncIterator[None]:
    for number in range(UNKNOWN_EVENTS):
        await write(stand, f"wrapped-{number}", "OrderGiftWrapped", ribbon="red")
    yield


def unreadable(projection: str, event_type: str) -> Signals:
    """Return what must show when a projection meets a row that it cannot read."""
    words = f"projection-{projection.replace('_', '-')}"
    values = {"projection": projection, "event_type": event_type, "action": "park"}
    return Signals(
        alert=Alert("SidecarProjectionFailing"),
        check=Check(words, "warn", f"{words}.dead-letters"),
        metric=Metric(f'sidecar_dead_letters{{projection="{projection}"}} == 1'),
        log=Log("sidecar.event.failed", values),
        letter=Letter("EventDecodingError"),
        sentence=Sentence(
            rf"Projection {projection} [^.]*has 1 stream parked since [^.]*EventDecodingError\."
        ),
    )


DRILLS: Final = (
    Drill(
        name="schema version from the future",
        injected="an order in schema version 2, which a newer release wrote; cured by deploying it",
        fault=from_the_future,
        signals=unreadable("order_totals", "OrderPlaced"),
        symptoms=frozenset({"SidecarDeadLetters"}),
        # The failures are no news any more while the newer release starts.
        echoes=frozenset({"SidecarDeadLetters"}),
        plan=Plan(target="tests.incidents.drills.faults.released_shop:make_publisher"),
        lasts_seconds=0.0,
        answers=False,
    ),
    Drill(
        name="malformed row",
        injected="an event whose data does not fit its type, written past the store",
        fault=malformed,
        signals=unreadable("shipping_labels", "OrderShipped"),
        symptoms=frozenset({"SidecarDeadLetters"}),
        quiet=('sidecar_dead_letters{projection!="shipping_labels"} > 0',),
        lasts_seconds=0.0,
    ),
    Drill(
        name="event of an unknown type",
        injected=f"{UNKNOWN_EVENTS} events of a type that the service has not registered",
        fault=unknown,
        # Another service's events are nobody's business here.
        signals=Signals(alert=None, check=None, metric=None, log=None, letter=None, sentence=None),
        quiet=(
            "sidecar_projection_failures_total > 0",
            "sidecar_dead_letters > 0",
            'sidecar_check_status{status=~"warn|fail",check!="configuration"} == 1',
        ),
    ),
)
