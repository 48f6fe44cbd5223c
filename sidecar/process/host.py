"""Whom an agent answers to: not a web page whose name was rebound to this machine."""

import ipaddress
from functools import lru_cache

from aiohttp import hdrs, web


def is_rebound(request: web.BaseRequest) -> bool:
    """Return True when a caller came to loopback under a name that is not loopback's.

    A page whose name was rebound to 127.0.0.1 makes the browser of a person on this machine call,
    and could read the answer. A Unix socket is out of a browser's reach, and by other addresses an
    agent is asked under whatever name its machine has.
    """
    if request.transport is None:
        return False
    address = request.transport.get_extra_info("sockname")
    host = request.headers.get(hdrs.HOST)
    if host is None or not isinstance(address, tuple) or not _is_loopback(str(address[0])):
        return False
    return not names_loopback(host)


@lru_cache(maxsize=64)
def names_loopback(host: str) -> bool:
    """Return True when a `Host`, with or without a port, names loopback."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
