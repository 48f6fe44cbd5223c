"""Parts of a value that come from elsewhere: not known here, and good to every rule.

A manifest writes `postgresql://app:$(DB_PASSWORD)@db/shop`, where a Secret of the cluster holds the
password. Its place is taken by a mark, so that the rest of the address can be judged.
"""

import hashlib
import re

# The letters of a random secret that can also be a host, a user and a path: nothing that parses
# addresses changes them, and no rule finds fault with them.
_PREFIX = "pq7vk2mzx9tn4wb6ld8hs3jf5rc1yg0u"
_MARK = re.compile(_PREFIX + "[0-9a-f]{12}")
_PORT = re.compile(rf":{_MARK.pattern}(?=[,/?#]|$)")


def opaque(name: str) -> str:
    """Return the mark of what `name` will hold; one name has one mark."""
    return _PREFIX + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def has_opaque(text: str) -> bool:
    """Return True when a part of the text is not known: it is neither shown nor found unfit."""
    return _MARK.search(text) is not None


def is_opaque(text: str) -> bool:
    """Return True when nothing of the text is known here."""
    return _MARK.fullmatch(text) is not None


def without_opaque_ports(address: str) -> str:
    """Leave out the ports of an address that are not known here, for a port has to be a number."""
    return _PORT.sub("", address)
