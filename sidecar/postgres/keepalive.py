"""Detecting a server that vanished without closing: machine lost, cable cut, firewall changed."""

import socket
from typing import Any, Final

from sidecar.postgres.guard import GuardedConnection

# Linux retransmits for about 15 minutes otherwise. No shorter, since a server that waits for a lock
# in the middle of a large statement reads nothing from its socket meanwhile.
VANISHED_SECONDS: Final = 30
# By name, since not every platform has all of them.
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
        link = transport.get_extra_info("socket")
        if link.family == getattr(socket, "AF_UNIX", None):
            return
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS.items():
            if hasattr(socket, name):
                link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
