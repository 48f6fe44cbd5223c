import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.secret import Secret
from sidecar.errors import EventDecodingError
from sidecar.projections.dead_letter import (
    MAX_MESSAGE_CHARACTERS,
    MAX_TRACEBACK_CHARACTERS,
    Category,
    categorize,
    write_dead_letter,
)
from sidecar.telemetry.redaction import Redactor
from tests.unit.records import RECORD


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (EventDecodingError("position 7"), Category.DECODE),
        (TimeoutError(), Category.TIMEOUT),
        (KeyError("x"), Category.APPLY),
        (ConnectionResetError(), Category.APPLY),
    ],
)
def test_kind_of_a_failure_is_told_by_its_error(error: Exception, category: Category) -> None:
    assert categorize(error) is category


def test_letter_tells_what_failed_and_why() -> None:
    def fail() -> None:
        raise ValueError("no such order")

    with pytest.raises(ValueError, match="order") as caught:
        fail()
    letter = write_dead_letter(RECORD, caught.value, 3, "ab" * 16, str)
    assert (letter.record, letter.attempts, letter.trace_id) == (RECORD, 3, "ab" * 16)
    assert (letter.error_type, letter.error_message) == ("ValueError", "no such order")
    assert "in fail" in letter.traceback


@given(st.text(st.characters(exclude_categories=()), max_size=50), st.integers(1, 3000))
def test_letter_of_any_text_is_bounded_and_can_be_stored(text: str, times: int) -> None:
    letter = write_dead_letter(RECORD, ValueError(text * times), 1, None, str)
    for stored, limit in (
        (letter.error_message, MAX_MESSAGE_CHARACTERS),
        (letter.traceback, MAX_TRACEBACK_CHARACTERS),
    ):
        assert len(stored) <= limit
        assert "\0" not in stored
        assert stored.encode().decode() == stored


def test_exception_that_cannot_even_be_printed_is_kept() -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    letter = write_dead_letter(RECORD, UnprintableError(), 1, None, str)
    assert letter.error_type == "UnprintableError"


@pytest.mark.parametrize("before", [0, MAX_MESSAGE_CHARACTERS - 8, MAX_MESSAGE_CHARACTERS])
def test_letter_masks_a_secret_before_it_is_cut(before: int) -> None:
    error = ValueError("x" * before + "c4nary-secret" + "y" * (MAX_TRACEBACK_CHARACTERS - 8))
    letter = write_dead_letter(RECORD, error, 1, None, Redactor([Secret("c4nary-secret")]))
    assert "c4nary" not in letter.error_message
    assert "secret" not in letter.traceback
