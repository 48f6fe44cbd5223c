"""A value that must not be seen."""

import hmac
import secrets
from typing import NoReturn, Self, SupportsIndex, final

from typing_extensions import override

MASK = "***"


@final
class Secret:
    """Text that shows itself only to who asks for it by `reveal()`.

    It has no length, no order and no pickle; equality takes the same time wherever the
    difference is.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; never log, format or store what comes back."""
        return self._text

    @override
    def __repr__(self) -> str:
        return f"Secret({MASK})"

    @override
    def __str__(self) -> str:
        return MASK

    @override
    def __format__(self, format_spec: str) -> str:
        # A width would still be honest, but a precision would cut the mask: neither is of use.
        return MASK

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    @override
    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @override
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("A Secret is not pickled: pass the environment on instead.")

    def _bytes(self) -> bytes:
        # Bytes of the environment that are not UTF-8 arrive as lone surrogates.
        return self._text.encode("utf-8", "surrogatepass")


def generate() -> Secret:
    """Make a good secret: 48 random bytes, 64 characters that need no quotes anywhere."""
    return Secret(secrets.token_urlsafe(48))
