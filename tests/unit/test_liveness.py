"""A worker that hangs is told from one that starts, and from a question that was never read."""

import pytest

from sidecar.process.agent_poller import Contact
from sidecar.process.liveness import START_SECONDS, is_hung

HANG_SECONDS = 15.0


@pytest.mark.parametrize(
    ("now_mono", "answered_mono", "misses", "hung"),
    [
        pytest.param(116.0, 100.0, 8, True, id="silent for too long"),
        pytest.param(114.0, 100.0, 7, False, id="silent for a while"),
        pytest.param(900.0, 100.0, 0, False, id="not asked for long"),
        pytest.param(900.0, 100.0, 1, False, id="asked once, by somebody who was stopped"),
        pytest.param(START_SECONDS + 1.0, None, 60, True, id="never there"),
        pytest.param(START_SECONDS - 1.0, None, 60, False, id="still starting"),
    ],
)
def test_only_silence_that_was_witnessed_is_a_hang(
    now_mono: float, answered_mono: float | None, misses: int, *, hung: bool
) -> None:
    contact = Contact(answered_mono, misses=misses)
    assert is_hung(now_mono, 0.0, contact, HANG_SECONDS) is hung
