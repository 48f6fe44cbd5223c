"""A worker ends with the process that started it, however that one ended."""

import os
import sys
import threading
from typing import Final

ORPHANED: Final = 1


def end_with_parent() -> None:
    """End this process at once when standard input, held open by the parent, closes.

    A thread waits, since the event loop may be stuck in a handler just then. An open transaction is
    rolled back by PostgreSQL, so nothing is lost.
    """
    threading.Thread(target=_wait, name="sidecar-parent", daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(ORPHANED)
