"""What a subscriber may not do: end the task, or the process, that calls it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.errors import HandlerExitError


@contextmanager
def no_exit() -> Iterator[None]:
    """Turn what would end the caller into a failure of the subscriber.

    Raises:
        HandlerExitError: It raised what would have.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        raise as_failure(error) from error


def as_failure(error: BaseException) -> Exception:
    """Return what a subscriber raised as its failure; raise again what belongs to the caller.

    A `CancelledError` belongs to the caller that was cancelled or timed out; otherwise it only
    says that something which the subscriber awaits was cancelled. Ctrl-C always belongs to the
    caller.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, GeneratorExit | KeyboardInterrupt):
        raise error
    if isinstance(error, asyncio.CancelledError) and _is_cancelled():
        raise error
    failure = HandlerExitError(f"The subscriber raised {type(error).__name__}.")
    failure.__cause__ = error
    return failure


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
