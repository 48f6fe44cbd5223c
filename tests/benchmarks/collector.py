"""`collector-*`: publishing while the receiver of telemetry fails, against one that works."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import sidecar
from sidecar.telemetry.publisher_metrics import observe_publisher
from sidecar.telemetry.setup import Telemetry
from tests.benchmarks.measure import Measure, Result, alternate, ratio_at_most
from tests.benchmarks.place import Place
from tests.benchmarks.publish import measure_cost, three_subscribers
from tests.benchmarks.receiver import FAULTS

ROUNDS: Final = 9
# Sent as often as can be, so that sending falls into each round.
DELAY_MILLISECONDS: Final = 50


async def run(_place: Place) -> list[Result]:
    """Measure one fault after another, without any database."""
    # What is lost is told, as it should be, and nobody wants to read it here.
    logging.disable(logging.CRITICAL)
    try:
        return [await _compare(fault.__name__) for fault in FAULTS]
    finally:
        logging.disable(logging.NOTSET)


async def _compare(fault: str) -> Result:
    with ExitStack() as stack:
        ours = _publish_to(stack, fault)
        peer = _publish_to(stack, "working")
        pair = await alternate(ours, peer, rounds=ROUNDS)
    return Result(f"collector-{fault}", "µs", pair, ratio_at_most(1.05), "working receiver")


def _publish_to(stack: ExitStack, kind: str) -> Measure:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(_receiver(kind)),
        "OTEL_BSP_SCHEDULE_DELAY": str(DELAY_MILLISECONDS),
    }
    telemetry = Telemetry.start("benchmark", "app", version=sidecar.__version__, environ=environ)
    stack.callback(telemetry.close, timeout_seconds=0.5)
    publisher = three_subscribers()
    stack.callback(observe_publisher(telemetry, publisher))
    return measure_cost(publisher.publish)


@contextmanager
def _receiver(kind: str) -> Iterator[str]:
    """Start a receiver in a process of its own, which shares no lock with the publisher."""
    words = [sys.executable, "-m", "tests.benchmarks.receiver", kind]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
        child.kill()
