"""Receivers of telemetry that do not do their work, each in a way of its own.

`python -m tests.benchmarks.receiver KIND` prints an address and serves it until its input ends.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

SLOW_SECONDS: Final = 1.0

Faulty = Callable[[], AbstractContextManager[str]]
"""Opens a receiver and yields its address."""


@contextmanager
def refusing() -> Iterator[str]:
    """Nobody listens."""
    with socket.socket() as taken:
        # Bound but not listening, so that nobody else comes to listen there.
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """Connections are taken, and nothing ever comes back."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def working() -> AbstractContextManager[str]:
    """Everything is accepted at once."""
    return _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def slow() -> AbstractContextManager[str]:
    """Everything is accepted, late."""
    return _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SLOW_SECONDS)


def overloaded() -> AbstractContextManager[str]:
    """Everything is put off."""
    return _answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


def garbling() -> AbstractContextManager[str]:
    """What comes back is no HTTP."""
    return _answering(b"\x00\xff%%%\r\n\r\n" * 10)


FAULTS: Final[tuple[Faulty, ...]] = (refusing, silent, slow, overloaded, garbling)
KINDS: Final = {kind.__name__: kind for kind in (working, *FAULTS)}


@contextmanager
def _answering(answer: bytes, delay_seconds: float = 0.0) -> Iterator[str]:
    """Answer whatever comes with the same bytes, one answer a connection."""
    ended = threading.Event()

    def serve(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=reply, args=(connection,), daemon=True).start()

    def reply(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5.0)
            connection.recv(65536)
            ended.wait(delay_seconds)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            # Until the sender is done: closing earlier would reset its connection.
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()
        server.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    with KINDS[sys.argv[1]]() as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stdin.read()
