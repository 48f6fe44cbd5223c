"""Hosts as they are: few descriptors, signals of every kind, process 1 of a container."""

import asyncio
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.incidents.patience import eventually
from tests.incidents.program import Program, listening, serve

FEW = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
END_SECONDS = 10.0
ORPHANING = """
import subprocess
from sidecar import EventPublisher
subprocess.run(["sh", "-c", "for each in 1 2 3; do sleep 0.1 & done"], check=True)
publisher = EventPublisher()
"""


async def test_few_descriptors_and_any_signal_leave_probes_answered_and_the_end_in_order(
    tmp_path: Path, database: str
) -> None:
    async with serve(tmp_path, database, under=FEW) as program:
        told = await program.line("sidecar.serve.few_descriptors")
        assert (told["level"], told["limit"]) == ("WARNING", 64)
        idle = await crowd(program, 200)
        await eventually(lambda: answers_ten_times(program))
        for writer in idle:
            writer.close()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            program.send(number)
            passed = f"{number.name} changes nothing here"
            await program.line("sidecar.process.signal_passed", message=passed)
        assert await answers_ten_times(program)
        await terminate_again_and_again(program)
        assert await program.wait(END_SECONDS) == 0
        assert program.lines("sidecar.serve.draining")
        assert "Traceback" not in program.output()


async def crowd(program: Program, size: int) -> list[asyncio.StreamWriter]:
    """Connect so many clients that never ask."""
    address = urlsplit(program.address)
    connecting = [asyncio.open_connection(address.hostname, address.port) for _ in range(size)]
    connected = await asyncio.gather(*connecting, return_exceptions=True)
    return [each[1] for each in connected if not isinstance(each, BaseException)]


async def answers_ten_times(program: Program) -> bool:
    return {(await program.get("/health")).status for _ in range(10)} == {200}


async def terminate_again_and_again(program: Program) -> None:
    """Send SIGTERM every few milliseconds, for as long as there is somebody to get it."""
    for _ in range(5000):
        if program.process.poll() is not None:
            return
        program.send(signal.SIGTERM)
        await asyncio.sleep(0.003)


@pytest.fixture
def container() -> tuple[str, ...]:
    if subprocess.run([*CONTAINER, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespace of processes can be made here")
    return CONTAINER


async def test_as_process_1_it_buries_orphans_and_ends_in_order(
    tmp_path: Path, database: str, container: tuple[str, ...]
) -> None:
    (tmp_path / "orphaning.py").write_text(ORPHANING)
    environ = {"ENVIRONMENT": "development", "DATABASE_URL": database, "PYTHONPATH": str(tmp_path)}
    async with listening(tmp_path, "orphaning:publisher", under=container, **environ) as program:
        [first] = psutil.Process(program.process.pid).children()

        async def works() -> bool:
            return bool((await program.worker())["state"] == "running")

        async def has_no_orphan() -> bool:
            return len(first.children()) == 1

        await eventually(works)
        await eventually(has_no_orphan)
        first.terminate()
        assert await program.wait(END_SECONDS) == 0
        assert program.lines("sidecar.serve.draining")
