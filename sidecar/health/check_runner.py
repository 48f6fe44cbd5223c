"""Asking one check once: with a limit, never twice at a time, never raising for it."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from sidecar.health.check import Check, Run
from sidecar.health.outcome import CheckResult, failed

T = TypeVar("T")

logger = logging.getLogger(__name__)


class CheckRunner:
    """The asking side of one check.

    A blocking check runs in a daemon thread of its own rather than in a pool: a pool's workers
    are shared, so that a few stuck checks would silence the rest, and are joined at exit, so that
    a stuck one would keep the process from ending.
    """

    __slots__ = ("_check", "_complained_about", "_flight", "_is_blocking", "_thread_work")

    def __init__(self, check: Check) -> None:
        self._check: Final = check
        self._is_blocking: Final = not _is_async(check.run)
        self._flight: asyncio.Task[object] | None = None
        self._thread_work: Future[object] | None = None
        self._complained_about: type[BaseException] | None = None

    async def ask(self) -> CheckResult:
        """Return the check's answer, or why there is none, within its timeout.

        Reasons of its own: `<name>.timeout`, `<name>.error` for an exception, whose text goes to
        the log only, and `<name>.invalid` for anything that is not a `CheckResult`.
        """
        earlier = (self._flight, self._thread_work)
        # An earlier run may go on in spite of its cancellation.
        if any(work is not None and not work.done() for work in earlier):
            return failed(f"{self._check.name}.timeout")
        self._flight = asyncio.create_task(self._run(), name=f"check {self._check.name}")
        self._flight.add_done_callback(_retrieve)
        try:
            # Not asyncio.timeout: it waits for as long as the check resists its cancellation.
            await asyncio.wait({self._flight}, timeout=self._check.timeout_seconds)
        finally:
            self._flight.cancel()
        return self._read(self._flight)

    async def _run(self) -> object:
        answer: object = await self._run_in_thread() if self._is_blocking else self._check.run()
        return await answer if inspect.isawaitable(answer) else answer

    async def _run_in_thread(self) -> object:
        self._thread_work = start_daemon_thread(self._check.run, name=f"check-{self._check.name}")
        return await asyncio.wrap_future(self._thread_work)

    def _read(self, flight: "asyncio.Task[object]") -> CheckResult:
        name = self._check.name
        if not flight.done() or flight.cancelled():
            return failed(f"{name}.timeout")
        error = flight.exception()
        if error is not None:
            self._complain(error)
            return failed(f"{name}.error")
        self._complained_about = None
        answer = flight.result()
        return answer if isinstance(answer, CheckResult) else failed(f"{name}.invalid")

    def _complain(self, error: BaseException) -> None:
        if type(error) is self._complained_about:
            return
        self._complained_about = type(error)
        logger.warning(
            "Check %s raised %s and counts as failed; repetitions are not logged",
            self._check.name,
            type(error).__name__,
            exc_info=error,
            extra={"event": "sidecar.check.raised", "check": self._check.name},
        )


def start_daemon_thread(function: Callable[[], T], *, name: str) -> Future[T]:
    """Run `function` in a thread that the interpreter does not wait for at exit."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            answer = function()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller
            future.set_exception(error)
        else:
            future.set_result(answer)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


def _is_async(run: Run) -> bool:
    return inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(
        getattr(run, "__call__", None)  # noqa: B004 - an object with `async def __call__`
    )


def _retrieve(flight: "asyncio.Task[object]") -> None:
    # A run that was left behind may still raise; asyncio would report it as never retrieved.
    if not flight.cancelled():
        flight.exception()
