"""A connection that knows whether its owner has given it codecs."""

from typing import Any

from typing_extensions import override

from sidecar.postgres.keepalive import KeepaliveConnection


class CodecAwareConnection(KeepaliveConnection):
    """Where no codec was set, values go in the driver's own form, which the server reads faster.

    Attributes:
        has_own_codecs: Whether any was set, for whichever type.
    """

    has_own_codecs = False

    @override
    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        self.has_own_codecs = True
        await super().set_type_codec(*args, **options)

    @override
    async def set_builtin_type_codec(self, *args: Any, **options: Any) -> None:
        self.has_own_codecs = True
        await super().set_builtin_type_codec(*args, **options)
