"""Whether a log is still the one that is remembered: the whole table of decisions."""

import pytest

from sidecar.projections.log_memory import (
    MOST_RECENT,
    LogIdentity,
    LogLook,
    LogMemory,
    Verdict,
    describe_hold,
    describe_loss,
    describe_other,
    judge,
    remember,
)

HERE = LogIdentity("7 16384", "17000", timeline=1, lsn=1000)
LATER = LogIdentity("7 16384", "17000", timeline=1, lsn=2000)
PROMOTED = LogIdentity("7 16384", "17000", timeline=2, lsn=900)
COPIED = LogIdentity("7 16384", "17000", timeline=1, lsn=900)
RESTORED = LogIdentity("7 16384", "18000", timeline=1, lsn=2000)
ELSEWHERE = LogIdentity("8 16384", "17000", timeline=1, lsn=500)
UNTOLD = LogIdentity()

TEN = {position: f"mark{position}" for position in range(1, 11)}
SEVEN = {position: mark for position, mark in TEN.items() if position <= 7}
ANEW = SEVEN | {9: "other9", 10: "other10"}
STRANGE = dict.fromkeys(range(1, 6), "strange")
FRONT_GONE = {position: mark for position, mark in TEN.items() if position > 4}
HOLES = {position: mark for position, mark in TEN.items() if position not in {3, 8}}
REWRITTEN = TEN | {5: "anonymous"}

SAME, ERASED, LOST, OTHER = Verdict.SAME, Verdict.ERASED, Verdict.LOST, Verdict.OTHER
MEMORY = LogMemory(HERE, tuple(TEN.items()))


@pytest.mark.parametrize(
    ("identity", "found", "drawn", "verdict"),
    [
        # All that is remembered is there: good, wherever it is by now.
        (LATER, TEN, 12, SAME),
        (PROMOTED, TEN, 12, SAME),
        (ELSEWHERE, TEN, 10, SAME),
        (UNTOLD, TEN, None, SAME),
        # Events that have others above them were erased.
        (LATER, HOLES, 12, ERASED),
        (PROMOTED, HOLES, 12, ERASED),
        (ELSEWHERE, FRONT_GONE, 12, ERASED),
        (LATER, REWRITTEN, 12, ERASED),
        # So were the newest, where nothing says that the log went back.
        (LATER, SEVEN, 10, ERASED),
        (LATER, {}, 10, ERASED),
        (UNTOLD, SEVEN, 10, ERASED),
        (UNTOLD, SEVEN, None, ERASED),
        # The log went back: its server did, or its table was made anew, or its sequence.
        (PROMOTED, SEVEN, 33, LOST),
        (COPIED, SEVEN, 33, LOST),
        (RESTORED, SEVEN, 10, LOST),
        (ELSEWHERE, SEVEN, 10, LOST),
        (LATER, SEVEN, 7, LOST),
        (UNTOLD, SEVEN, 7, LOST),
        # Positions are other events' by now, whatever the server says of itself.
        (LATER, ANEW, 50, LOST),
        (PROMOTED, ANEW, 50, LOST),
        (UNTOLD, ANEW, None, LOST),
        # Nothing is left, in the same database and in another one.
        (PROMOTED, {}, 33, LOST),
        (RESTORED, STRANGE, 5, LOST),
        (LATER, STRANGE, 50, LOST),
        (ELSEWHERE, STRANGE, 5, OTHER),
        (ELSEWHERE, {}, 5, OTHER),
        (LogIdentity("7 999", "17000", 1, 2000), STRANGE, 5, OTHER),
    ],
)
def test_what_has_become_of_a_log(
    identity: LogIdentity, found: dict[int, str], drawn: int | None, verdict: Verdict
) -> None:
    judged = judge(MEMORY, LogLook(identity, found, drawn=drawn))

    assert judged.verdict is verdict
    assert (judged.loss is not None) == (verdict is LOST)
    if verdict is OTHER:
        assert judged.memory == MEMORY
    else:
        common = tuple(mark for mark in TEN.items() if found.get(mark[0]) == mark[1])
        assert judged.memory == LogMemory(identity, common)


def test_a_new_database_without_events_has_lost_them_all() -> None:
    judged = judge(MEMORY, LogLook(ELSEWHERE, {}, is_empty=True))

    assert judged.loss is not None
    assert (judged.loss.common_position, judged.loss.events, judged.loss.is_exact) == (
        None,
        10,
        True,
    )
    assert "10 events are gone, positions 1 to 10, and it shares no event" in describe_loss(
        judged.loss
    )


def test_a_loss_is_told_with_its_size_the_last_common_position_and_what_is_given_anew() -> None:
    loss = judge(MEMORY, LogLook(PROMOTED, ANEW)).loss

    assert loss is not None
    assert (loss.first_position, loss.last_position, loss.common_position) == (8, 10, 7)
    assert (loss.first_event, loss.events, loss.is_exact) == ("mark8", 3, True)
    said = describe_loss(loss)
    assert "3 events are gone, positions 8 to 10" in said
    assert "still there is at 7" in said
    assert "sidecar projections accept --log mark8 --reason TEXT" in said
    assert "after position 5, where its checkpoint is now" in describe_hold("mails", loss, 5)
    assert "up to position 10" in describe_other(MEMORY)


def remembered(events: int, step: int) -> LogMemory:
    """Remember a log as it grows, a few events at a time."""
    memory = None
    for first in range(1, events + 1, step):
        fresh = [(position, f"m{position}") for position in range(first, first + step)]
        memory = remember(memory, HERE, fresh)
    assert memory is not None
    return memory


def test_the_latest_are_remembered_each_and_of_those_before_a_few() -> None:
    memory = remembered(200_000, 1000)

    positions = [position for position, _ in memory.events]
    assert positions == sorted(set(positions))
    assert positions[-MOST_RECENT:] == list(range(199_001, 200_001))
    assert memory.complete_after == 199_001
    assert positions[0] == 1
    assert len(positions) < MOST_RECENT + 40
    assert any(150_000 < position < 199_000 for position in positions)


@pytest.mark.parametrize(
    ("upto", "is_exact"), [(199_500, True), (199_000, False), (120_000, False)]
)
def test_a_loss_beyond_what_is_remembered_each_is_at_least_so_large(
    upto: int, *, is_exact: bool
) -> None:
    memory = remembered(200_000, 1000)
    found = {position: mark for position, mark in memory.events if position <= upto}

    loss = judge(memory, LogLook(PROMOTED, found)).loss

    assert loss is not None
    assert loss.is_exact is is_exact
    assert loss.common_position is not None
    assert loss.common_position <= upto
    assert (f"at least {loss.events} " in describe_loss(loss)) is not is_exact


def test_who_remembers_more_of_a_lost_end_finds_the_same_loss() -> None:
    older = LogMemory(HERE, tuple(TEN.items())[:9])

    one, other = (judge(memory, LogLook(PROMOTED, ANEW)).loss for memory in (MEMORY, older))

    assert one is not None
    assert other is not None
    assert (one.first_position, one.first_event) == (other.first_position, other.first_event)


def test_a_memory_of_an_earlier_time_is_good_for_a_log_that_went_on() -> None:
    older = LogMemory(HERE, tuple(SEVEN.items()))

    assert judge(older, LogLook(PROMOTED, SEVEN, drawn=50)).verdict is SAME
