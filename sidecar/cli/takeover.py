"""Whether the work that is watched passes from one worker to the next, or nobody does it."""

import time
from collections.abc import Sequence
from typing import Final

from sidecar.health.duration import lasted_seconds, since
from sidecar.telemetry.terminal import say

# A worker that ends hands its projections on within this; only then does nobody run them.
TAKEOVER_SECONDS: Final = 5.0


class Takeover:
    """Gives workers time to hand projections on. Ask again and again."""

    def __init__(self) -> None:
        self._alone_mono: float | None = None

    def is_abandoned(self, ownerless: Sequence[str], hint: str) -> bool:
        """Tell whether nobody took projections over in time, and say so.

        Args:
            ownerless: Those that no worker runs now.
            hint: What becomes of the work, up to "once a worker runs".
        """
        now_mono = time.monotonic()
        self._alone_mono = since(self._alone_mono, now_mono, holds=bool(ownerless))
        if lasted_seconds(self._alone_mono, now_mono) <= TAKEOVER_SECONDS:
            return False
        say(
            f"No worker runs {', '.join(ownerless)}. {hint} once `sidecar run` or `sidecar serve` "
            "does.",
            err=True,
        )
        return True
