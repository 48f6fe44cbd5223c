import asyncpg
import pytest

from sidecar.events.record import RecordedEvent
from sidecar.projections.environment_failure import (
    HALT_STREAMS,
    HALT_STREAMS_BY_VALUE,
    MAX_TEXT_CHARACTERS,
    Suspicion,
    describe_halt,
    find_sqlstate,
    halt_streams,
)
from tests.unit import records


def failed(stream: str, event_type: str = "Placed") -> RecordedEvent:
    return records.replace(stream=stream, type=event_type)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InsufficientPrivilegeError("permission denied for table orders"),
        asyncpg.UndefinedTableError(),
        asyncpg.UndefinedColumnError(),
        asyncpg.InvalidColumnReferenceError(),
        asyncpg.QueryCanceledError(),
    ],
)
def test_what_names_no_value_can_hit_every_event(error: asyncpg.PostgresError) -> None:
    found = find_sqlstate(error)
    assert found == (error.sqlstate, error)
    assert halt_streams(error.sqlstate) == HALT_STREAMS


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError(),
        asyncpg.NumericValueOutOfRangeError(),
        asyncpg.RaiseError(),
        KeyError("country"),
        TimeoutError(),
    ],
)
def test_what_speaks_of_a_value_is_its_events_own(error: Exception) -> None:
    found = find_sqlstate(error)
    assert found is None or halt_streams(found[0]) == HALT_STREAMS_BY_VALUE


def test_error_that_a_library_wraps_is_found() -> None:
    cause = asyncpg.UndefinedTableError()
    wrapped = RuntimeError("query failed")
    wrapped.__cause__ = cause
    assert find_sqlstate(wrapped) == ("42P01", cause)


def test_three_streams_alike_in_a_row_tell_that_no_event_is_to_blame() -> None:
    suspicion = Suspicion()
    assert not suspicion.add("42501", failed("a"))
    assert not suspicion.add("42501", failed("a"))
    assert not suspicion.add("42501", failed("b"))
    assert not suspicion.add("42P01", failed("c"))
    found = suspicion.add("42501", failed("c"))
    assert [record.stream for record in found] == ["a", "b", "c"]


def test_event_that_is_applied_clears_its_own_type_only() -> None:
    suspicion = Suspicion()
    for stream in ("a", "b"):
        suspicion.add("42501", failed(stream))
    suspicion.passed("Viewed")
    assert suspicion.add("42501", failed("c"))
    suspicion.passed("Placed")
    assert not suspicion


def test_sentence_names_the_object_on_one_line_without_secrets_and_the_cure() -> None:
    cause = asyncpg.InsufficientPrivilegeError("permission denied\n\x1b[31m for table hush" * 50)
    told = describe_halt(cause, "42501", lambda text: text.replace("hush", "***"))
    assert "InsufficientPrivilegeError (SQLSTATE 42501)" in told
    assert "permission denied" in told
    assert "***" in told
    assert "hush" not in told
    assert told.isprintable()
    assert "GRANT" in told
    assert len(told) < MAX_TEXT_CHARACTERS + 250


def test_text_that_may_hold_a_value_is_not_told() -> None:
    cause = asyncpg.InvalidTextRepresentationError("4111 1111")
    assert "4111" not in describe_halt(cause, "54000", str)


def test_what_speaks_of_values_halts_after_many_streams_and_names_the_constraint_alone() -> None:
    suspicion = Suspicion()
    found = [suspicion.add("23514", failed(f"s{number}")) for number in range(20)]
    assert [len(records) for records in found] == [0] * 19 + [20]
    cause = asyncpg.CheckViolationError('row "hunter2" violates it')
    cause.constraint_name, cause.table_name, cause.column_name = "total_check", "orders\x1b[31m", ""
    told = describe_halt(cause, "23514", str)
    assert "in 20 streams alike: constraint total_check of table orders" in told
    assert "look at that constraint" in told
    assert "hunter2" not in told
    assert told.isprintable()


def test_sentence_has_the_statements_that_grant_what_is_missing() -> None:
    cause = asyncpg.InsufficientPrivilegeError("permission denied for table orders")
    told = describe_halt(cause, "42501", str, ["GRANT INSERT, UPDATE ON TABLE orders TO shop"])
    assert "let the owner run: GRANT INSERT, UPDATE ON TABLE orders TO shop." in told
