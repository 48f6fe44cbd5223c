"""What goes wrong with a projection: it raises, waits, dawdles, hangs, or cannot be rebuilt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sidecar.demo.shop import OrderPlaced
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

STORM_ORDERS: Final = 10_000
SETTLED_SECONDS: Final = 120.0
LOST_ORDERS: Final = """
    SELECT FROM sidecar.checkpoints c
    WHERE projection = 'order_totals' AND (SELECT sum(orders) FROM order_totals) < (
        SELECT count(*) FROM sidecar.events e
        WHERE type = 'OrderPlaced' AND e.position <= c.position
    )
"""
# Anyone but the projection that is broken has failed.
OTHERS_FAILING: Final = (
    'sidecar_projection_failures_total{{projection!="{name}",action!="retry"}} > 0'
)


@asynccontextmanager
async def halted(stand: Stand) -> AsyncIterator[None]:
    await stand.run("ALTER TABLE country_revenue RENAME TO country_revenue_lost")
    yield
    await stand.run("ALTER TABLE country_revenue_lost RENAME TO country_revenue")


@asynccontextmanager
async def raising_always(stand: Stand) -> AsyncIterator[None]:
    async with triggered(stand, "country_revenue", "1 / 0"):
        yield


@asynccontextmanager
async def poisoned(stand: Stand) -> AsyncIterator[None]:
    await stand.append("order-lost", OrderPlaced("lost", "Ada", "Atlantis", 1200))
    yield
    await stand.run("INSERT INTO shipping_rates VALUES ('Atlantis', 9900)")
    await stand.command("dead-letters", "retry", "--projection", "shipping_labels")


@asynccontextmanager
async def stalled(stand: Stand) -> AsyncIterator[None]:
    async with stand.transaction("LOCK TABLE order_totals"):
        yield


@asynccontextmanager
async def slow(stand: Stand) -> AsyncIterator[None]:
    # A quarter of a second for each order, of which 20 come in a second.
    async with triggered(stand, "shipping_labels", "pg_sleep(0.25)"):
        yield


@asynccontextmanager
async def hanging(stand: Stand) -> AsyncIterator[None]:
    async with triggered(stand, "order_totals", "pg_sleep(600)", "NEW.customer = 'Ada'"):
        yield
    await stand.command("dead-letters", "retry", "--projection", "order_totals")


@asynccontextmanager
async def triggered(
    stand: Stand, table: str, call: str, condition: str = "true"
) -> AsyncIterator[None]:
    """Have the server do something before each row is written to a read model."""
    await stand.run(
        "CREATE FUNCTION hinder() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM {call}; RETURN NEW; END $$"
    )
    await stand.run(
        f"CREATE TRIGGER hinder BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW"
        f" WHEN ({condition}) EXECUTE FUNCTION hinder()"
    )
    yield
    await stand.run("DROP FUNCTION hinder CASCADE")


@asynccontextmanager
async def storm(stand: Stand) -> AsyncIterator[None]:
    await stand.run(
        "INSERT INTO sidecar.events (version, stream, type, data)"
        " SELECT 1, 'order-storm-' || n, 'OrderPlaced', json_build_object("
        "'order_id', 'storm-' || n, 'customer', 'Ada', 'country', 'Lemuria', 'cents', 100)"
        f" FROM generate_series(1, {STORM_ORDERS}) n"
    )
    yield
    await stand.run("INSERT INTO shipping_rates VALUES ('Lemuria', 9900)")
    await stand.command("dead-letters", "retry", "--all", "--no-wait")
    await settle(stand)


async def settle(stand: Stand) -> None:
    """Wait until every letter is taken up again."""

    async def is_settled() -> bool:
        return not await stand.run("SELECT FROM sidecar.dead_letters WHERE resolution IS NULL")

    await eventually(is_settled, SETTLED_SECONDS)


@asynccontextmanager
async def unbuildable(stand: Stand) -> AsyncIterator[None]:
    """Take away what only an old event needs: the live copy has it behind it, a new one has not."""
    await stand.run("INSERT INTO shipping_rates VALUES ('Mu', 9900)")
    await stand.append("order-old", OrderPlaced("old", "Ada", "Mu", 1200))
    await eventually(lambda: stand.run("SELECT FROM shipping_labels WHERE order_id = 'old'"))
    await stand.run("DELETE FROM shipping_rates WHERE country = 'Mu'")
    await stand.command("projections", "rebuild", "shipping_labels", "--no-wait")
    yield
    await stand.run("INSERT INTO shipping_rates VALUES ('Mu', 9900)")
    await stand.command("projections", "rebuild", "shipping_labels")
    await stand.command("projections", "rebuild", "shipping_labels", "--drop-old")


@asynccontextmanager
async def drifted(stand: Stand) -> AsyncIterator[None]:
    await stand.run("UPDATE order_totals SET cents = cents + 1 WHERE customer = 'Ada'")
    await stand.command("projections", "verify", "order_totals", code=1)
    yield
    await stand.command("projections", "rebuild", "order_totals")
    await stand.command("projections", "verify", "order_totals")
    await stand.command("projections", "rebuild", "order_totals", "--drop-old")


@asynccontextmanager
async def emptied(stand: Stand) -> AsyncIterator[None]:
    await stand.run("TRUNCATE country_revenue")
    yield
    await stand.command("projections", "rebuild", "country_revenue")
    await stand.command("projections", "verify", "country_revenue")
    await stand.command("projections", "rebuild", "country_revenue", "--drop-old")


@asynccontextmanager
async def swallowing(stand: Stand) -> AsyncIterator[None]:
    """Run a release that loses orders without a word, then a good one, and let a night pass."""

    async def has_lost_some() -> bool:
        return bool(await stand.run(LOST_ORDERS))

    stand.variables["SHOP_RELEASE"] = "swallowing"
    await stand.restart_program()
    await eventually(stand.is_working)
    await eventually(has_lost_some)
    del stand.variables["SHOP_RELEASE"]
    await stand.run("UPDATE sidecar.verifications SET ended_at = ended_at - interval '1 day'")
    await stand.run(
        "UPDATE sidecar.verifications SET ended_at = ended_at - interval '1 day' "
        "WHERE projection = 'order_totals'"
    )
    await stand.restart_program()
    yield
    await stand.command("projections", "rebuild", "order_totals")
    await stand.command("projections", "verify", "order_totals")
    await stand.command("projections", "rebuild", "order_totals", "--drop-old")


@asynccontextmanager
async def forgotten(stand: Stand) -> AsyncIterator[None]:
    parked = "FROM sidecar.dead_letters WHERE resolution IS NULL AND category <> 'retry'"
    await stand.append("order-lost", OrderPlaced("lost", "Ada", "Atlantis", 1200))

    async def is_parked() -> bool:
        return bool(await stand.run(f"SELECT id {parked}"))

    await eventually(is_parked)
    await stand.run(f"DELETE {parked}")
    await stand.run("INSERT INTO shipping_rates VALUES ('Atlantis', 9900)")
    yield
    await stand.command("projections", "rebuild", "shipping_labels")
    await stand.command("projections", "rebuild", "shipping_labels", "--drop-old")


DRILLS: Final = (
    Drill(
        name="errors swallowed by a release",
        injected="a release whose handler catches an error and goes on, then a good one",
        fault=swallowing,
        plan=Plan(
            target="tests.incidents.drills.faults.swallowing_shop:make_publisher",
            environ={"SIDECAR_VERIFY_PERCENT": "50"},
        ),
        signals=Signals(
            alert=Alert("SidecarReadModelDrift"),
            check=Check("projection-order-totals", "fail", "projection-order-totals.drifted"),
            metric=Metric('sidecar_projection_drift_rows{projection="order_totals"} > 0'),
            log=Log("sidecar.verification.ended", {"projection": "order_totals"}),
            letter=None,
            sentence=Sentence(r"Of order_totals \d+ rows? (is|are) not as the log has (it|them)"),
        ),
        quiet=(OTHERS_FAILING.format(name="order_totals"), "sidecar_dead_letters > 0"),
        lasts_seconds=0.0,
        # It is restarted.
        answers=False,
        after=('max(sidecar_projection_drift_rows{projection="order_totals"}) == 0',),
    ),
    Drill(
        name="read model emptied",
        injected="a read model is truncated, while its projection goes on",
        fault=emptied,
        signals=Signals(
            alert=Alert("SidecarReadModelDrift"),
            check=Check("projection-country-revenue", "fail", "projection-country-revenue.emptied"),
            metric=Metric('sidecar_projection_lost_tables{projection="country_revenue"} == 1'),
            log=Log("sidecar.table.changed", {"projection": "country_revenue"}),
            letter=None,
            sentence=Sentence(r"Of country_revenue table country_revenue lost all of its rows"),
        ),
        quiet=(OTHERS_FAILING.format(name="country_revenue"), "sidecar_ready == 0"),
        lasts_seconds=0.0,
        after=('max(sidecar_projection_lost_tables{projection="country_revenue"}) == 0',),
    ),
    Drill(
        name="dead letters deleted by hand",
        injected="the row of a dead letter is deleted by a statement, its cause is mended after",
        fault=forgotten,
        signals=Signals(
            alert=Alert("SidecarDeadLettersDeleted"),
            check=Check(
                "projection-shipping-labels",
                "warn",
                "projection-shipping-labels.dead-letters-deleted",
            ),
            metric=Metric('sidecar_dead_letters_deleted{projection="shipping_labels"} == 1'),
            log=Log("sidecar.letters.missing", {"projection": "shipping_labels"}),
            letter=None,
            sentence=Sentence(r"Of shipping_labels 1 dead letter was deleted by"),
        ),
        told_too=frozenset({"SidecarProjectionFailing"}),
        quiet=(OTHERS_FAILING.format(name="shipping_labels"), "sidecar_ready == 0"),
        after=('max(sidecar_dead_letters_deleted{projection="shipping_labels"}) == 0',),
    ),
    Drill(
        name="read model changed by hand",
        injected="a row of a read model is changed by a statement, and the read model is verified",
        fault=drifted,
        signals=Signals(
            alert=Alert("SidecarReadModelDrift"),
            check=Check("projection-order-totals", "fail", "projection-order-totals.drifted"),
            metric=Metric('sidecar_projection_drift_rows{projection="order_totals"} == 1'),
            log=Log("sidecar.verification.ended", {"projection": "order_totals", "rows": 1}),
            letter=None,
            sentence=Sentence(r"Of order_totals 1 row is not as the log has it"),
        ),
        quiet=(OTHERS_FAILING.format(name="order_totals"), "sidecar_ready == 0"),
        lasts_seconds=0.0,
        after=('max(sidecar_projection_drift_rows{projection="order_totals"}) == 0',),
    ),
    Drill(
        name="projection raising always",
        injected="a trigger fails each write of a read model",
        fault=raising_always,
        signals=Signals(
            alert=Alert("SidecarProjectionHalted"),
            check=Check("projection-country-revenue", "fail", "projection-country-revenue.failed"),
            metric=Metric('sidecar_projection_failures_total{projection="country_revenue"} > 0'),
            log=Log("sidecar.projection.halted", {"projection": "country_revenue"}),
            letter=None,
            sentence=Sentence(r"Projection country_revenue is failed"),
        ),
        # The first streams are parked, and told of, before it is known to concern every event.
        told_too=frozenset({"SidecarProjectionFailing"}),
        symptoms=frozenset({"SidecarDeadLetters"}),
        quiet=(OTHERS_FAILING.format(name="country_revenue"), "sidecar_ready == 0"),
        after=('max(sidecar_parked_streams{projection="country_revenue"}) == 0',),
    ),
    Drill(
        name="projection halted",
        injected="the table of a read model is renamed, and renamed back; nothing else is done",
        fault=halted,
        signals=Signals(
            alert=Alert("SidecarProjectionHalted"),
            check=Check("projection-country-revenue", "fail", "projection-country-revenue.failed"),
            metric=Metric(
                'sidecar_projection_status{projection="country_revenue",status="failed"} == 1'
            ),
            log=Log("sidecar.projection.halted", {"projection": "country_revenue"}),
            letter=None,
            sentence=Sentence(r"Projection country_revenue is failed"),
        ),
        quiet=(
            OTHERS_FAILING.format(name="country_revenue"),
            "sidecar_dead_letters > 0",
            "sidecar_ready == 0",
        ),
    ),
    Drill(
        name="one poisoned stream",
        injected="an order to a country without a rate",
        fault=poisoned,
        signals=Signals(
            alert=Alert("SidecarProjectionFailing"),
            check=Check(
                "projection-shipping-labels", "warn", "projection-shipping-labels.dead-letters"
            ),
            metric=Metric('sidecar_parked_streams{projection="shipping_labels"} == 1'),
            log=Log("sidecar.projections.failed", {"streams": ["order-lost"]}),
            letter=Letter("NoShippingRateError"),
            sentence=Sentence(r"Ready\. Projection shipping_labels .*1 stream parked since"),
        ),
        # A failure is news for ten minutes; after that its dead letter is told of by itself.
        symptoms=frozenset({"SidecarDeadLetters"}),
        lasts_seconds=0.0,
        quiet=(OTHERS_FAILING.format(name="shipping_labels"), "sidecar_ready == 0"),
        after=('max(sidecar_parked_streams{projection="shipping_labels"}) == 0',),
    ),
    Drill(
        name="projection stalled",
        injected="a session locks the table of a read model and goes away",
        fault=stalled,
        signals=Signals(
            alert=Alert("SidecarProjectionStalled"),
            check=Check("projection-order-totals", "fail", "projection-order-totals.stalled"),
            metric=Metric(
                'sidecar_projection_status{projection="order_totals",status="stalled"} == 1'
            ),
            log=Log(
                "sidecar.check.changed", {"check": "projection-order-totals", "status": "fail"}
            ),
            letter=None,
            sentence=Sentence(r"Projection order_totals is stalled and is \d+ s behind"),
        ),
        symptoms=frozenset({"SidecarProjectionLagHigh"}),
        quiet=(
            'sidecar_projection_lag_seconds{projection!="order_totals"} > 10',
            "sidecar_ready == 0",
        ),
    ),
    Drill(
        name="slow projection",
        injected="a trigger makes each write of a read model take 0.25 s",
        fault=slow,
        signals=Signals(
            alert=Alert("SidecarProjectionLagHigh"),
            check=Check("projection-shipping-labels", "warn", "projection-shipping-labels.late"),
            metric=Metric('sidecar_projection_lag_events{projection="shipping_labels"} > 100'),
            log=Log(
                "sidecar.check.changed", {"check": "projection-shipping-labels", "status": "warn"}
            ),
            letter=None,
            sentence=Sentence(r"Projection shipping_labels is \d+ s behind"),
        ),
        # The mail comes first; late for as long as this spends the budget, which pages.
        told_too=frozenset({"SidecarFreshnessBudgetBurn"}),
        quiet=(
            'sidecar_projection_lag_seconds{projection!="shipping_labels"} > 10',
            "sidecar_ready == 0",
        ),
    ),
    Drill(
        name="hanging handler",
        injected="a trigger hangs on one customer's orders; the projection's limit is 1 s",
        fault=hanging,
        plan=Plan(target="tests.incidents.drills.hasty_shop:publisher"),
        signals=Signals(
            alert=Alert("SidecarProjectionFailing"),
            check=Check("projection-order-totals", "warn", "projection-order-totals.dead-letters"),
            metric=Metric(
                'sidecar_projection_failures_total{projection="order_totals",action="park"} > 0'
            ),
            log=Log("sidecar.projections.failed", {"projections": ["order_totals"]}),
            letter=Letter("TimeoutError"),
            sentence=Sentence(r"Projection order_totals .*parked since .*TimeoutError"),
        ),
        symptoms=frozenset({"SidecarDeadLetters"}),
        quiet=(
            'sidecar_projection_lag_seconds{projection!="order_totals"} > 10',
            "sidecar_ready == 0",
        ),
    ),
    Drill(
        name="storm of dead letters",
        injected=f"{STORM_ORDERS:,} orders to a country without a rate at once",
        fault=storm,
        signals=Signals(
            alert=Alert("SidecarDeadLettersGrowing"),
            check=Check(
                "projection-shipping-labels", "warn", "projection-shipping-labels.dead-letters"
            ),
            metric=Metric('sidecar_dead_letters{projection="shipping_labels"} == 10000'),
            log=Log("sidecar.projections.failed", {"projections": ["shipping_labels"]}),
            letter=Letter("NoShippingRateError"),
            sentence=Sentence(r"Projection shipping_labels .*10000 streams parked since"),
        ),
        symptoms=frozenset({"SidecarProjectionFailing", "SidecarDeadLetters"}),
        # Letters that no longer grow are still open for as long as they are taken up again.
        echoes=frozenset({"SidecarDeadLetters"}),
        quiet=(OTHERS_FAILING.format(name="shipping_labels"), "sidecar_ready == 0"),
    ),
    Drill(
        name="rebuild that fails",
        injected="what an old event needs is deleted, and the read model is rebuilt",
        fault=unbuildable,
        signals=Signals(
            alert=Alert("SidecarRebuildHalted"),
            check=Check(
                "projection-shipping-labels", "warn", "projection-shipping-labels.rebuild-halted"
            ),
            metric=Metric(
                'sidecar_projection_rebuild{projection="shipping_labels",status="halted"} == 1'
            ),
            log=Log("sidecar.rebuild.halted", {"projection": "shipping_labels"}),
            letter=None,
            sentence=Sentence(r"Projection shipping_labels has a rebuild that failed\."),
        ),
        quiet=(
            OTHERS_FAILING.format(name="shipping_labels"),
            "sidecar_dead_letters > 0",
            "sidecar_projection_lag_seconds > 10",
            "sidecar_ready == 0",
        ),
    ),
)
