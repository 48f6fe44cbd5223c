import asyncio
import signal
from pathlib import Path

import pytest

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import TARGET, launch, ready_service, serve

END_SECONDS = 5.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_everything_in_order(
    tmp_path: Path, database: str, ledger: Ledger, number: signal.Signals
) -> None:
    async with ready_service(tmp_path, database) as program:
        async with ledger.paying():
            await ledger.pay_many(200)
            program.send(number)
            assert await program.wait(END_SECONDS) == 0
        await program.family.assert_gone(0.5)
        assert program.lines("sidecar.serve.draining")
        assert "Traceback" not in program.output()
        # What was under way is whole: no worker was cut off, and the next one goes on.
        assert program.lines("sidecar.worker.exited") == []
    async with ready_service(tmp_path, database):
        await ledger.expect_equal()


async def test_draining_is_seen_while_requests_are_still_served(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async with ready_service(tmp_path, database, SIDECAR_DRAIN_DELAY_SECONDS="30") as program:
        program.send(signal.SIGTERM)
        await eventually(program.is_unready)
        assert (await program.get("/health")).status == 200
        assert (await program.status())["phase"] == "draining"
        # Projections work on until the delay is over.
        await ledger.pay("late", 3)
        await ledger.expect_equal()
        assert program.process.poll() is None
        program.send(signal.SIGTERM)
        assert await program.wait(END_SECONDS) == 0
        await program.family.assert_gone(0.5)


async def test_readiness_can_be_kept_while_draining(tmp_path: Path, database: str) -> None:
    keep = {"SIDECAR_DRAIN_DELAY_SECONDS": "30", "SIDECAR_DRAIN_READINESS": "keep"}
    async with ready_service(tmp_path, database, **keep) as program:
        program.send(signal.SIGTERM)
        await program.line("sidecar.serve.draining")
        assert await program.is_ready()


async def test_a_second_signal_does_not_wait_for_a_stuck_worker(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    marker = tmp_path / "slept"
    stuck = {"SERVICE_MARKER": str(marker), "SIDECAR_WORKER_HANG_SECONDS": "60"}
    async with ready_service(tmp_path, database, **stuck) as program:
        await ledger.pay("sleeper", memo="sleep")

        async def is_stuck() -> bool:
            return await asyncio.to_thread(marker.exists)

        await eventually(is_stuck)
        program.send(signal.SIGTERM)
        await program.line("sidecar.serve.draining")
        program.send(signal.SIGTERM)
        assert await program.wait(END_SECONDS) == 0
        await program.family.assert_gone(0.5)


async def test_a_collector_that_never_answers_does_not_hold_the_end_up(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        async with ready_service(tmp_path, database, **otel) as program:
            await ledger.pay_many(200)
            await ledger.expect_equal()
            program.send(signal.SIGTERM)
            # Worker and probe process flush one after the other, each within 5 s.
            assert await program.wait(2 * END_SECONDS + 1.0) == 0
            await program.family.assert_gone(0.5)


async def test_a_worker_alone_works_and_ends_in_order(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    environ = {
        "ENVIRONMENT": "development",
        "DATABASE_URL": database,
        "SIDECAR_AGENT_PORT": "0",
    }
    async with launch(tmp_path, "run", TARGET, **environ) as program:
        await ledger.pay_many(200)
        await ledger.expect_equal()
        program.send(signal.SIGTERM)
        assert await program.wait(END_SECONDS) == 0
        assert "Traceback" not in program.output()


async def test_a_program_without_a_target_watches_alone(tmp_path: Path, database: str) -> None:
    async with serve(tmp_path, database) as program:
        await eventually(program.is_ready)
        assert (await program.status())["workers"] == []
