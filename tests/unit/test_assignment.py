from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from sidecar.projections.assignment import Assignment, assign_partitions
from sidecar.projections.projection import Partition


def parts(count: int) -> list[Partition]:
    return [Partition("p", index, count) for index in range(count)]


@st.composite
def holdings(draw: st.DrawFn) -> tuple[list[Partition], list[frozenset[Partition]]]:
    """Draw partitions and who holds them: workers by index, or nobody."""
    partitions = parts(draw(st.integers(0, 24)))
    members = draw(st.integers(1, 6))
    owners = [draw(st.integers(-1, members - 1)) for _ in partitions]
    held = [
        frozenset(p for p, owner in zip(partitions, owners, strict=True) if owner == member)
        for member in range(members)
    ]
    return partitions, held


def turn(partitions: list[Partition], held: list[frozenset[Partition]], member: int) -> None:
    """Let one worker act on its plan, as the lease table does."""
    others = frozenset().union(*(own for i, own in enumerate(held) if i != member))
    plan = assign_partitions(partitions, held[member], others, len(held), offset=member)
    assert not others.intersection(plan.take)
    held[member] = (held[member] - frozenset(plan.give)) | frozenset(plan.take)


def settle(partitions: list[Partition], held: list[frozenset[Partition]]) -> None:
    """Let each worker act twice."""
    for _ in range(2):
        for member in range(len(held)):
            turn(partitions, held, member)


@given(holdings())
def test_nobody_ends_above_a_fair_share_and_nothing_stays_unowned(
    drawn: tuple[list[Partition], list[frozenset[Partition]]],
) -> None:
    partitions, held = drawn
    settle(partitions, held)
    fair = ceil(len(partitions) / len(held))
    assert all(len(own) <= fair for own in held)
    assert frozenset().union(*held) == frozenset(partitions)


@given(holdings())
def test_settled_shares_stay_as_they_are(
    drawn: tuple[list[Partition], list[frozenset[Partition]]],
) -> None:
    partitions, held = drawn
    settle(partitions, held)
    before = list(held)
    for member in range(len(held)):
        turn(partitions, held, member)
    assert held == before


def test_workers_do_not_all_try_for_the_same_lease_first() -> None:
    first = {
        assign_partitions(parts(4), frozenset(), frozenset(), 4, offset).take[0]
        for offset in range(4)
    }
    assert first == set(parts(4))


def test_lease_on_what_is_not_run_any_more_is_given_back() -> None:
    gone = Partition("rebuilt", copy="rebuild")
    plan = assign_partitions(parts(2), frozenset({gone}), frozenset(), 1, 0)
    assert plan.give == (gone,)
    assert set(plan.take) == set(parts(2))


def test_nothing_to_run_is_a_plan_too() -> None:
    assert assign_partitions([], frozenset(), frozenset(), 3, 7) == Assignment((), ())
