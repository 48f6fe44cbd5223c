import re
from collections.abc import Iterable
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.incidents.collector import Collector, read_texts, running_collector
from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import Program, ready_service

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
WRITER = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
FAILURES = "sidecar_projection_failures_total"


async def test_a_poison_event_is_contained_told_and_kept(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async with ready_service(tmp_path, database) as program:
        before = await program.metric(FAILURES, projection="fragile")
        await ledger.pay("good", 5)
        await ledger.pay("bad", 1, memo="poison")
        await ledger.pay("bad", 2)
        await ledger.pay("good", 5)
        await ledger.expect_equal("totals", "sleepy")
        await expect_lines(program)

        async def is_counted() -> bool:
            return await program.metric(FAILURES, projection="fragile") > before

        await eventually(is_counted)
        assert await program.metric(FAILURES, projection="totals") == 0
        letters = "SELECT projection, stream, version, error_type, resolution FROM"
        found = await ledger.query(f"{letters} sidecar.dead_letters")
        assert found == [("fragile", "account-bad", 1, "CannotBookError", None)]
        # Its stream waits in order, everybody else's goes on.
        assert await ledger.query("SELECT account, events FROM fragile") == [("good", 10)]
        await expect_shown(program)
        assert await program.is_ready()


async def expect_lines(program: Program) -> None:
    critical = await program.line("sidecar.projections.failed")
    assert critical["level"] == "CRITICAL"
    assert critical["projections"] == ["fragile"]
    assert "fragile" in critical["message"]
    # Equal tracebacks that follow are left out.
    first = await program.line("sidecar.event.failed", action="retry")
    assert first["exception"].startswith("Traceback (most recent call last):\n")
    failed = await program.line("sidecar.event.failed", action="park")
    assert failed["level"] == "ERROR"
    assert failed["exception"].endswith("CannotBookError: cannot book for bad")
    assert re.fullmatch(r"[0-9a-f]{32}", failed["trace_id"])
    assert re.fullmatch(r"[0-9a-f]{16}", failed["span_id"])


async def expect_shown(program: Program) -> None:
    async def find_failures() -> list[object]:
        return [
            (failure["projection"], failure["stream"], failure["error_type"])
            for failure in (await program.status())["failures"]
        ]

    assert await eventually(find_failures) == [("fragile", "account-bad", "CannotBookError")]

    async def is_gauged() -> bool:
        return await program.metric("sidecar_dead_letters", projection="fragile") == 1

    await eventually(is_gauged)


async def test_a_cured_event_is_taken_up_again_in_order(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async with ready_service(tmp_path, database) as program:
        await ledger.pay("bad", 1, memo="poison")
        await ledger.pay("bad", 2)
        await program.line("sidecar.projections.failed")
        await ledger.query("INSERT INTO cured VALUES ('bad') RETURNING 1")
        await ledger.query("UPDATE sidecar.dead_letters SET retry_at = now() RETURNING 1")
        await ledger.expect_equal()
        resumed = await program.line("sidecar.stream.resumed")
        assert resumed["stream"] == "account-bad"
        assert await ledger.query("SELECT resolution FROM sidecar.dead_letters") == [("retried",)]


async def test_the_span_of_a_failure_carries_it_and_links_to_the_writer(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async with running_collector() as collector:
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with ready_service(tmp_path, database, **otel) as program:
            await ledger.pay("bad", 1, memo="poison", metadata=WRITER)
            failed = await program.line("sidecar.event.failed", action="park")
            span = await find_span(collector, bytes.fromhex(failed["span_id"]))
    assert span.name == "process fragile"
    assert span.trace_id.hex() == failed["trace_id"]
    assert span.status.code == Status.STATUS_CODE_ERROR
    [event] = [event for event in span.events if event.name == "exception"]
    told = read_texts(list(event.attributes))
    assert told["exception.type"].endswith("CannotBookError")
    assert told["exception.message"] == "cannot book for bad"
    assert "Traceback" in told["exception.stacktrace"]
    assert writers(span.links) == {(TRACE_ID, SPAN_ID)}


async def find_span(collector: Collector, span_id: bytes) -> Span:
    async def find() -> list[Span]:
        return [span for span in collector.spans if span.span_id == span_id]

    return (await eventually(find))[0]


def writers(links: Iterable[Span.Link]) -> set[tuple[str, str]]:
    return {(link.trace_id.hex(), link.span_id.hex()) for link in links}
