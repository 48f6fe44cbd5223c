"""The judge of the storm is judged: what it must not overlook."""

import itertools
from collections.abc import Awaitable, Callable

import pytest

from tests.incidents.chaos.oracle import Excuse, judge
from tests.incidents.patience import while_it_moves

LOG = [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("found", "excuse"),
    [
        ([1, 2, 3, 4], None),
        ([1, 2], Excuse(waits_from=3)),
        ([1, 3, 4], Excuse(given_up=frozenset({2}))),
        ([1, 3], Excuse(waits_from=4, given_up=frozenset({2}))),
    ],
)
def test_what_is_complete_or_accounted_for_is_right(
    found: list[int], excuse: Excuse | None
) -> None:
    assert judge(LOG, found, excuse) == ""


@pytest.mark.parametrize(
    ("found", "excuse", "said"),
    [
        ([1, 2, 4], None, "lost: 3"),
        ([1, 2, 1, 2, 3, 4], None, "twice: 1 after 2"),
        ([], None, "lost: 1, 2, 3, 4"),
        ([1, 2, 2, 3, 4], None, "twice: 2 after 2"),
        ([1, 3, 2, 4], None, "out of order or twice: 2 after 3"),
        ([1, 2, 3, 4, 5], None, "never appended: 5"),
        ([1, 2, 3], Excuse(waits_from=3), "overtook"),
        ([1, 4], Excuse(given_up=frozenset({2})), "lost: 3"),
        ([1, 2, 3, 4], Excuse(given_up=frozenset({2})), "given up, and applied: 2"),
    ],
)
def test_what_is_lost_doubled_or_out_of_order_is_told(
    found: list[int], excuse: Excuse | None, said: str
) -> None:
    assert said in judge(LOG, found, excuse)


def answering(*answers: object) -> Callable[[], Awaitable[object]]:
    """Return a question with these answers, the last of them for ever."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def look() -> object:
        return next(left)

    return look


async def test_what_is_slow_is_waited_for_and_what_is_stuck_is_told() -> None:
    await while_it_moves(answering(*([n, n] for n in range(1, 20)), []), 0.03)
    with pytest.raises(AssertionError, match=r"nothing moved .*\[7\]"):
        await while_it_moves(answering([1], [7]), 0.03)
