"""What a subscriber may not do: end the task, or the process, that calls it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.errors import HandlerExitError


def as_failure(error: BaseException) -> Exception:
    """Return what a subscriber raised as a failure of its own.

    A `CancelledError` may only say that something it awaits was cancelled.

    Raises:
        BaseException: The same again where the caller is to end: it was cancelled or its time is
            up, its coroutine is closed, or somebody pressed Ctrl-C.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, GeneratorExit | KeyboardInterrupt) or _is_cancelled(error):
        raise error
    failure = HandlerExitError(f"The subscriber raised {type(error).__name__}.")
    failure.__cause__ = error
    return failure


@contextmanager
def no_exit() -> Iterator[None]:
    """Turn what would end the caller into a failure of the subscriber.

    Raises:
        HandlerExitError: It raised what would have.
    """
    try:
        yield
    except BaseException as error:
        failure = as_failure(error)
        if failure is error:
            raise
        raise failure from error


def _is_cancelled(error: BaseException) -> bool:
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
