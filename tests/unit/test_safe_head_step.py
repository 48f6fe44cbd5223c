"""The safe head against a model of writers that draw, commit, abort and survive restarts."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.projections.safe_head import (
    Gap,
    GapHold,
    Head,
    LogScan,
    add_writers,
    held_seconds,
    step,
)

# Weighed so that several transactions are open most of the time.
ACTIONS = (
    *6 * ("begin",),
    *3 * ("commit",),
    *4 * ("list", "look"),
    *("draw", "abort", "restart"),
)
PAGE = 3


@dataclass
class Transaction:
    """A writer's transaction: it locks the log before it draws a position."""

    id: str
    xid: int
    drawn: list[int] = field(default_factory=list)


class World:
    """A log with its writers, and a follower whose every statement is a step of its own."""

    def __init__(self) -> None:
        self.sequence = 0
        self.transactions: list[Transaction] = []
        self.started = 0
        self.visible: set[int] = set()
        self.dead: list[int] = []
        self.head = Head()
        self.remaining: frozenset[str] | None = None

    def act(self, action: str, pick: int) -> None:
        if action == "begin":
            self.started += 1
            self.transactions.append(Transaction(f"3/{self.started}", self.started))
            self.draw(self.transactions[-1], pick % 3)
        elif action == "list":
            self.list_writers()
        elif action == "look":
            self.look()
        elif self.transactions:
            self.go_on(action, self.transactions[pick % len(self.transactions)])

    def go_on(self, action: str, transaction: Transaction) -> None:
        if action == "draw":
            self.draw(transaction, 1)
        elif action == "restart":
            self.restart(transaction)
        else:
            self.end(transaction, committed=action == "commit")

    def draw(self, transaction: Transaction, count: int) -> None:
        for _ in range(count):
            self.sequence += 1
            transaction.drawn.append(self.sequence)

    def end(self, transaction: Transaction, *, committed: bool) -> None:
        self.transactions.remove(transaction)
        if committed:
            assert all(position > self.head.position for position in transaction.drawn)
            self.visible.update(transaction.drawn)

    def restart(self, prepared: Transaction) -> None:
        """Restart the server: of all transactions only a prepared one comes back."""
        for transaction in list(self.transactions):
            if transaction is not prepared:
                self.end(transaction, committed=False)
        prepared.id = f"-1/{prepared.xid}"

    def list_writers(self) -> None:
        self.remaining = frozenset(transaction.id for transaction in self.transactions)
        self.head = add_writers(self.head, self.remaining)

    def look(self) -> None:
        """Look at the log; while a note is held the writers are listed before."""
        if self.head.hold is not None and self.remaining is None:
            return
        remaining, self.remaining = self.remaining or frozenset(), None
        self.head, gaps = step(self.head, self.sight(), remaining, 0.0)
        self.dead.extend(p for gap in gaps for p in range(gap.first, gap.last + 1))

    def sight(self) -> LogScan:
        page = sorted(p for p in self.visible if p > self.head.position)[:PAGE]
        before, gaps = self.head.position, []
        for position in page:
            if position - before > 1:
                gaps.append(Gap(before + 1, position - 1))
            before = position
        return LogScan(before, tuple(gaps), max(self.visible, default=0))

    def check(self) -> None:
        pending = [p for transaction in self.transactions for p in transaction.drawn]
        assert all(position > self.head.position for position in pending)
        assert not self.visible.intersection(self.dead)
        assert len(self.dead) == len(set(self.dead))

    def finish(self) -> None:
        for transaction in list(self.transactions):
            self.end(transaction, committed=False)
        for _ in range(2 * self.sequence + 2):
            self.list_writers()
            self.look()


def play(actions: Iterable[tuple[str, int]]) -> None:
    world = World()
    for action, pick in actions:
        world.act(action, pick)
        world.check()
    world.finish()
    highest = max(world.visible, default=0)
    assert world.head.position == highest
    assert set(world.dead) == set(range(1, highest)) - world.visible


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), min_size=10, max_size=60))
def test_head_never_passes_what_can_still_appear_and_reaches_the_end(
    actions: list[tuple[str, int]],
) -> None:
    play(actions)


def test_head_is_right_in_long_histories_too() -> None:
    # Hypothesis prefers short and regular ones; the rare orders need many irregular ones.
    for seed in range(1500):
        chance = random.Random(seed)
        play([(chance.choice(ACTIONS), chance.randrange(8)) for _ in range(80)])


def sight(last: int, *gaps: tuple[int, int]) -> LogScan:
    return LogScan(last, tuple(Gap(*gap) for gap in gaps), last)


def test_contiguous_prefix_is_safe_at_once() -> None:
    assert step(Head(3, 3), sight(9), frozenset(), 1.0) == (Head(9, 9), ())


def test_gap_is_noted_and_holds_the_head() -> None:
    head, dead = step(Head(), sight(9, (4, 5), (7, 7)), frozenset(), 1.0)
    assert head == Head(3, 9, GapHold(first=4, seen_up_to=9, since_mono=1.0))
    assert dead == ()


def test_gap_is_not_skipped_before_its_suspects_are_known() -> None:
    head, _ = step(Head(), sight(9, (4, 5)), frozenset(), 1.0)
    assert step(head, sight(9, (4, 5)), frozenset(), 2.0) == (head, ())


def test_all_gaps_below_the_note_are_skipped_together_once_nobody_can_fill_them() -> None:
    head, _ = step(Head(), sight(9, (4, 5), (7, 7)), frozenset(), 1.0)
    head = add_writers(head, frozenset({"3/1", "3/2"}))
    head, dead = step(head, sight(9, (4, 5), (7, 7)), frozenset({"3/2"}), 2.0)
    assert (head.position, dead) == (3, ())
    head, dead = step(head, sight(9, (4, 5), (7, 7)), frozenset({"3/9"}), 3.0)
    assert (head, dead) == (Head(9, 9), (Gap(4, 5), Gap(7, 7)))


def test_gap_above_the_note_needs_a_note_of_its_own() -> None:
    head, _ = step(Head(), sight(5, (4, 4)), frozenset(), 1.0)
    head = add_writers(head, frozenset())
    head, dead = step(head, sight(9, (4, 4), (7, 7)), frozenset(), 2.0)
    assert dead == (Gap(4, 4),)
    assert head == Head(6, 9, GapHold(first=7, seen_up_to=9, since_mono=2.0))


def test_transaction_that_shows_itself_as_prepared_after_a_restart_is_a_suspect() -> None:
    head, _ = step(Head(), sight(5, (4, 4)), frozenset(), 1.0)
    head = add_writers(head, frozenset({"3/1"}))
    head, dead = step(head, sight(5, (4, 4)), frozenset({"-1/800", "3/2"}), 2.0)
    assert (head.position, dead) == (3, ())
    head, dead = step(head, sight(5, (4, 4)), frozenset({"-1/900"}), 3.0)
    assert dead == (Gap(4, 4),)


@pytest.mark.parametrize(("now", "seconds"), [(1.0, 0.0), (3.5, 2.5), (0.0, 0.0)])
def test_hold_is_measured_from_when_its_gap_became_the_lowest(now: float, seconds: float) -> None:
    head, _ = step(Head(), sight(9, (4, 5)), frozenset(), 1.0)
    assert held_seconds(head, now) == seconds
    assert held_seconds(Head(), now) == 0.0
