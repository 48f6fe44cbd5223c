"""Where orphans come to this process, a process that does nothing but bury them stays in its place.

As process 1 of a container, or as a subreaper, a process becomes the parent of whatever its
descendants leave behind. Waiting for those beside asyncio, subprocess and multiprocessing could
take from them the exit status of a child of their own. So the program runs in a child, and here
stays what tini is elsewhere: it buries, hands signals on, and ends as the program did.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Collection
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_CHILD_SUBREAPER: Final = 37

# What the machine raises is for the process that it hit; stops are for the whole group.
_OWN: Final = frozenset(
    {
        *(signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE),
        *(signal.SIGSEGV, signal.SIGSYS, signal.SIGKILL, signal.SIGSTOP),
        *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT),
    }
)


def leave_a_reaper() -> None:
    """Go on in a child where orphans come to this process; elsewhere do nothing.

    Call it before there are threads or children.
    """
    if not is_reaper():
        return
    heard = signal.valid_signals() - _OWN
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    reaper, child = os.getpid(), os.fork()
    if child:
        os._exit(_stay(child, heard))
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != reaper:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_reaper() -> bool:
    """Return True when orphans of this process's descendants become its children."""
    if not sys.platform.startswith("linux"):
        return False
    if os.getpid() == 1:
        return True
    found = ctypes.c_int(0)
    return _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found)) == 0 and bool(found.value)


def _stay(child: int, heard: Collection[int]) -> int:
    """Reap what ends and hand signals on, until the child ends; return its exit code."""
    while True:
        heard_now = signal.sigwaitinfo(heard)
        if heard_now.si_signo == signal.SIGCHLD:
            code = _bury(child)
            if code is not None:
                return code
        # What a terminal sends goes to its whole foreground group, the child too.
        elif heard_now.si_code <= 0:
            os.kill(child, heard_now.si_signo)


def _bury(child: int) -> int | None:
    """Take the status of all who ended; return the child's exit code if it was among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def _prctl(option: int, argument: object) -> int:
    return int(ctypes.CDLL(None).prctl(option, argument, 0, 0, 0))
