"""What goes wrong with releases and checkpoints: a rollback, a new name, a row deleted."""

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
from tests.incidents.drills.faults.projection import OTHERS_FAILING
from tests.incidents.drills.stand import Plan, Stand
from tests.incidents.patience import eventually

REFUNDS: Final = 10
REFUND: Final = (
    "INSERT INTO sidecar.events (version, stream, type, data) "
    "SELECT 1, $1 || n, 'OrderRefunded', json_build_object('order_id', $1 || n) "
    f"FROM generate_series(1, {REFUNDS}) n"
)
SETTLED_SECONDS: Final = 60.0
_SHOP: Final = Plan(target="tests.incidents.drills.faults.next_shop:make_publisher")


async def release(stand: Stand, name: str | None) -> None:
    """Deploy a release of the shop."""
    stand.variables.pop("SHOP_RELEASE", None)
    if name is not None:
        stand.variables["SHOP_RELEASE"] = name
    await stand.restart_program()


@asynccontextmanager
async def deleted(stand: Stand) -> AsyncIterator[None]:
    await stand.run("DELETE FROM sidecar.checkpoints WHERE projection = 'country_revenue'")
    yield
    await stand.command("projections", "restore", "country_revenue")


@asynccontextmanager
async def rolled_back(stand: Stand) -> AsyncIterator[None]:
    """Go forward and back again, with refunds meanwhile; then forward for good."""

    async def has(refunds: int) -> bool:
        is_made = await stand.run("SELECT WHERE to_regclass('refunds') IS NOT NULL")
        return bool(is_made) and len(await stand.run("SELECT FROM refunds")) == refunds

    await release(stand, "refunds")
    await eventually(stand.is_working, SETTLED_SECONDS)
    await stand.run(REFUND, "before-")
    await eventually(lambda: has(REFUNDS), SETTLED_SECONDS)
    await release(stand, None)
    await eventually(stand.is_working, SETTLED_SECONDS)
    await stand.run(REFUND, "meanwhile-")
    yield
    await release(stand, "refunds")
    await eventually(lambda: has(2 * REFUNDS), SETTLED_SECONDS)


@asynccontextmanager
async def renamed(stand: Stand) -> AsyncIterator[None]:
    await release(stand, "renamed")
    yield
    words = ("--renamed-from", "order_totals", "--reason", "a clearer name")
    await stand.command("projections", "accept", "customer_totals", *words)
    await stand.restart_program()


DRILLS: Final = (
    Drill(
        name="checkpoint deleted",
        injected="a projection's row of `sidecar.checkpoints` is deleted; cured by `restore`",
        fault=deleted,
        signals=Signals(
            alert=Alert("SidecarProjectionHalted"),
            check=Check("projection-country-revenue", "fail", "projection-country-revenue.failed"),
            metric=Metric(
                'sidecar_projection_status{projection="country_revenue",status="failed"} == 1'
            ),
            log=Log("sidecar.projection.blocked", {"projection": "country_revenue"}),
            letter=None,
            sentence=Sentence(r"deleted it on .* `?sidecar projections restore country_revenue"),
        ),
        quiet=(OTHERS_FAILING.format(name="country_revenue"), "sidecar_ready == 0"),
        lasts_seconds=0.0,
    ),
    Drill(
        name="release rolled back",
        injected="a release with a new type of event is rolled back, and deployed again",
        fault=rolled_back,
        plan=_SHOP,
        signals=Signals(
            alert=Alert("SidecarProjectionFailing"),
            check=Check("projection-order-totals", "warn", "projection-order-totals.dead-letters"),
            metric=Metric(f'sidecar_parked_streams{{projection="order_totals"}} == {REFUNDS}'),
            log=Log("sidecar.projections.failed", {"projections": ["order_totals"]}),
            letter=Letter("UnknownTypeError"),
            sentence=Sentence(r"order_totals .*10 streams parked since .*UnknownTypeError"),
        ),
        # As with one poisoned stream: news first, then told of by itself.
        symptoms=frozenset({"SidecarDeadLetters"}),
        quiet=(OTHERS_FAILING.format(name="order_totals"),),
        lasts_seconds=0.0,
        # It is restarted.
        answers=False,
        after=('max(sidecar_parked_streams{projection="order_totals"}) == 0',),
    ),
    Drill(
        name="projection renamed",
        injected="a release calls a projection by another name; cured by `accept --renamed-from`",
        fault=renamed,
        plan=_SHOP,
        signals=Signals(
            alert=Alert("SidecarProjectionHalted"),
            check=Check("projection-customer-totals", "fail", "projection-customer-totals.refused"),
            metric=Metric(
                'sidecar_projection_status{projection="customer_totals",status="failed"} == 1'
            ),
            log=Log("sidecar.setup.failed", {"projection": "customer_totals"}),
            letter=None,
            sentence=Sentence(
                r"Renamed\? .*projections accept customer_totals --renamed-from order_totals"
            ),
        ),
        symptoms=frozenset({"SidecarProjectionLoopDead"}),
        told_too=frozenset({"SidecarProjectionLoopDead"}),
        quiet=(OTHERS_FAILING.format(name="order_totals"), "sidecar_dead_letters > 0"),
        lasts_seconds=0.0,
        answers=False,
    ),
)
