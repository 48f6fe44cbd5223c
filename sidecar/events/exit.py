"""What a subscriber may not do: end the task, or the process, that calls it."""

import asyncio
import signal
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
        # The frames of this function, and of the block.
        raise as_failure(error, frames=2) from error


def as_failure(error: BaseException, *, frames: int = 1) -> Exception:
    """Return what a subscriber raised as its failure; raise again what belongs to the caller.

    A `CancelledError` belongs to the caller that was cancelled or timed out; otherwise it only
    says that something which the subscriber awaits was cancelled. A `GeneratorExit` belongs to the
    caller whose coroutine is closed, and a `KeyboardInterrupt` to one that Ctrl-C interrupts.

    Args:
        error: What was caught.
        frames: How many frames of the caller its traceback has.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, GeneratorExit) and not _is_deeper(error, frames):
        raise error
    if isinstance(error, KeyboardInterrupt) and _does_ctrl_c_raise():
        raise error
    if isinstance(error, asyncio.CancelledError) and _is_cancelled():
        raise error
    failure = HandlerExitError(f"The subscriber raised {type(error).__name__}.")
    failure.__cause__ = error
    return failure


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _is_deeper(error: BaseException, frames: int) -> bool:
    """Return True when an error was raised by what the caller has called.

    Where a coroutine is closed, each of those that await each other gets an error of its own.
    """
    at = error.__traceback__
    for _ in range(frames):
        at = None if at is None else at.tb_next
    return at is not None


def _does_ctrl_c_raise() -> bool:
    """Return False where a handler of signals was set, as servers and workers do."""
    handler = signal.getsignal(signal.SIGINT)
    # That of `asyncio.run` is a partial of a method.
    name = getattr(getattr(handler, "func", handler), "__name__", "")
    return handler is None or name in {"default_int_handler", "_on_sigint"}
