"""One order, three processes: a service appends, the sidecar projects, a handler calls a third."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.incidents.patience import eventually
from tests.incidents.program import environment, serve
from tests.incidents.receiver import Receiver, Receiving, receiving_grpc, receiving_http
from tests.port import free_port

ROOT = Path(__file__).parents[2]
RELAY = Path(__file__).with_name("relay.py")


@pytest.mark.parametrize("receiving", [receiving_http, receiving_grpc])
async def test_writer_handler_and_callee_are_joined_in_a_real_receiver(
    receiving: Receiving, tmp_path: Path, database: str
) -> None:
    async with receiving() as receiver, running_post(tmp_path, receiver) as url:
        environ = {**receiver.environment(), "POST_URL": url, "OTEL_SERVICE_NAME": "sidecar"}
        async with serve(tmp_path, database, "relay:publisher", **environ) as program:
            # `/ready` waits for no worker, and a new handler hears only of what follows its start.
            await program.line("sidecar.lease.taken")
            await run_shop(tmp_path, receiver, database)

            async def find_letter() -> list[Span]:
                return receiver.find("post", "take letter")

            async def find_process() -> list[Span]:
                return receiver.find("sidecar", "process send_letter")

            (letter,) = await eventually(find_letter)
            (process,) = await eventually(find_process)
    (order,) = receiver.find("shop", "place order")
    (append,) = receiver.find("shop", "append Ordered")
    assert (append.trace_id, append.parent_span_id) == (order.trace_id, order.span_id)
    assert append.kind == Span.SPAN_KIND_PRODUCER
    # The batch is a trace of its own, linked to the writer, who ended long ago...
    assert process.trace_id != order.trace_id
    assert [(link.trace_id, link.span_id) for link in process.links] == [
        (append.trace_id, append.span_id)
    ]
    assert process.kind == Span.SPAN_KIND_CONSUMER
    # ...and the call that its handler makes is part of it.
    assert (letter.trace_id, letter.parent_span_id) == (process.trace_id, process.span_id)
    assert append.start_time_unix_nano <= process.start_time_unix_nano


@asynccontextmanager
async def running_post(folder: Path, receiver: Receiver) -> AsyncIterator[str]:
    """Start the third process and yield where it is called."""
    port = free_port()
    process = start(folder, receiver, "post", str(port))
    try:

        async def is_listening() -> bool:
            return await asyncio.to_thread(can_connect, port)

        await eventually(is_listening)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


async def run_shop(folder: Path, receiver: Receiver, dsn: str) -> None:
    process = start(folder, receiver, "shop", dsn)
    assert await asyncio.to_thread(process.wait, 20.0) == 0


def start(folder: Path, receiver: Receiver, *arguments: str) -> subprocess.Popen[bytes]:
    environ = environment(folder, **receiver.environment()) | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, str(RELAY), *arguments], cwd=folder, env=environ)


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
