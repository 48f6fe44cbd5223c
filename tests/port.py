"""Ports for programs that must know theirs before they start."""

import random
import socket
from contextlib import suppress
from typing import Final

# Below those that Linux gives to whoever connects: none of these is taken until it is listened on.
PORTS: Final = range(20_000, 32_000)


def free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
