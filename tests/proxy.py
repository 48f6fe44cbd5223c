"""A TCP link that can be made slow, cut, and frozen, in front of a server."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
# On, and with no time to linger: closing sends RST, as a firewall does that lost its state.
_RESET: Final = struct.pack("ii", 1, 0)

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Passes bytes on in both directions. Use it through `proxying`.

    Attributes:
        port: Where it listens on 127.0.0.1.
        delay_seconds: How long each chunk is on its way, in either direction.
        cuts: Connections cut so far.

    Args:
        dial: Opens a connection to the server.
    """

    def __init__(self, dial: Callable[[], "asyncio.Future[Opened]"]) -> None:
        self.port = 0
        self.delay_seconds = 0.0
        self.cuts = 0
        self._dial = dial
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._stranded: Final[list[asyncio.Event]] = []
        self._links: Final[set[asyncio.Task[None]]] = set()
        self._ends: Final[set[asyncio.StreamWriter]] = set()

    def freeze(self) -> None:
        """Pass nothing on until `thaw`; both ends see a peer that is silent."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def strand(self) -> None:
        """Pass nothing on any more on what is open, as if the server's machine were lost.

        New connections are carried: another machine has taken its address.
        """
        self._thawed.clear()
        self._stranded.append(self._thawed)
        self._thawed = asyncio.Event()
        self._thawed.set()

    def cut(self) -> None:
        """Reset every connection, whatever is under way on it; new ones are taken."""
        self.cuts += len(self._links)
        for end in self._ends:
            with suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it."""
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            server_reader, server_writer = await self._dial()
            self._ends.update((writer, server_writer))
            try:
                # Whichever side ends first ends both: PostgreSQL knows no half-open connection.
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, server_writer))
                    group.create_task(self._carry(server_reader, writer))
            finally:
                self._ends.difference_update((writer, server_writer))
                server_writer.transport.abort()
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            self._links.discard(link)

    async def close(self) -> None:
        """Cut every connection, and wait until all are gone."""
        for thawed in (self._thawed, *self._stranded):
            thawed.set()
        self.cut()
        while self._links:
            await asyncio.wait(self._links)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what arrives, each chunk as late as the others, until the end of it."""
        loop = asyncio.get_running_loop()
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        thawed = self._thawed

        async def deliver() -> None:
            while True:
                due, chunk = await underway.get()
                await asyncio.sleep(max(due - loop.time(), 0.0))
                await thawed.wait()
                if not chunk:
                    raise ConnectionResetError
                writer.write(chunk)
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            while True:
                chunk = await reader.read(CHUNK_BYTES)
                underway.put_nowait((loop.time() + self.delay_seconds, chunk))
                if not chunk:
                    return


@asynccontextmanager
async def proxying(host: str, port: int) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a server for the length of the block."""

    async def dial() -> Opened:
        return await asyncio.open_connection(host, port)

    proxy = Proxy(lambda: asyncio.ensure_future(dial()))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
