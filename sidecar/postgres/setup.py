"""Preparing every subscriber before it runs; one that cannot be prepared stops no other."""

import logging
from collections.abc import Iterable

from sidecar.errors import LogShortenedError, ProjectionError, StoreUnavailableError
from sidecar.postgres.checkpoint import fail_setup, register
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.transience import is_transient
from sidecar.projections.projection import Subscription

logger = logging.getLogger(__name__)


async def set_up(
    connection: RawConnection, subscriptions: Iterable[Subscription]
) -> tuple[Subscription, ...]:
    """Register each in a transaction of its own and return those that can run.

    Raises:
        StoreUnavailableError: Something that passes by itself came between; repeat all of it.
    """
    ready = []
    # A new handler starts at the present end of the log: not after what the setups take.
    for subscription in sorted(subscriptions, key=lambda each: each.setup is not None):
        try:
            await register(connection, subscription)
        # The edge to user code: a `setup` can raise anything.
        except Exception as error:
            if _passes(connection, error):
                reason = f"the setup of {subscription.name} met {type(error).__name__}"
                raise StoreUnavailableError(reason) from error
            _tell(subscription, error)
            await fail_setup(connection, subscription, _describe(error))
        else:
            ready.append(subscription)
    return tuple(ready)


def _passes(connection: RawConnection, error: Exception) -> bool:
    """Tell whether the same can succeed later with nobody's help."""
    lost = connection.is_closed() or isinstance(error, StoreUnavailableError | LogShortenedError)
    return lost or is_transient(error)


def _describe(error: Exception) -> str:
    if isinstance(error, ProjectionError):
        return str(error)
    return f"its setup failed with {type(error).__name__}; mend it and start the worker again"


def _tell(subscription: Subscription, error: Exception) -> None:
    logger.error(
        "%s %s cannot run here: %s. The others go on",
        subscription.kind.capitalize(),
        subscription.name,
        _describe(error).rstrip("."),
        exc_info=error,
        extra={
            "event": "sidecar.setup.failed",
            "projection": subscription.name,
            "error_type": type(error).__name__,
        },
    )
