import threading
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

THREAD_SECONDS = 15.0


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Wait for exporters that a test has left behind: they log, and draw random numbers."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(THREAD_SECONDS)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()
