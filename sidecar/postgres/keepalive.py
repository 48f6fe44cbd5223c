"""Noticing a server that vanished without a word: machine lost, cable cut, firewall changed."""

import socket
from typing import Any, Final

from sidecar.postgres.guard import GuardedConnection

# Linux asks for an answer for about 15 minutes otherwise. No shorter, for a server that waits for a
# lock in the middle of a large statement takes nothing from its socket meanwhile.
VANISHED_SECONDS: Final = 30
# By name, for not every platform has all of them.
_OPTIONS: Final = {
    "TCP_USER_TIMEOUT": VANISHED_SECONDS * 1000,
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 4,
}


class KeepaliveConnection(GuardedConnection):
    """A connection that ends soon after its server has vanished."""

    def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:  # noqa: ANN401 - asyncpg's own
        super().__init__(protocol, transport, *rest)
        watch(transport.get_extra_info("socket"))


def watch(link: socket.socket) -> None:
    """Let the kernel end a link whose other end does not acknowledge any more."""
    if link.family == getattr(socket, "AF_UNIX", None):
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
