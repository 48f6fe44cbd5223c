"""What a subscriber may not do: end the task, or the process, that calls it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.errors import HandlerExitError


@contextmanager
def no_exit() -> Iterator[None]:
    """Turn what would end the caller into a failure of the subscriber.

    A `CancelledError` passes where the caller was cancelled or its time is up; else it only says
    that something the subscriber awaits was cancelled. Ctrl-C always passes.

    Raises:
        HandlerExitError: It raised what would have.
    """
    try:
        yield
    except (Exception, GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        raise HandlerExitError(f"The subscriber raised {type(error).__name__}.") from error


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
