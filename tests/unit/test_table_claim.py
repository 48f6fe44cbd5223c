"""Who else declares a table, and whom that keeps from running."""

from typing import Final

import pytest

from sidecar.postgres.tables.copies import MAX_NAME_BYTES, new_schema, old_schema
from sidecar.projections.table_claim import TableClaim, find_rivals

TABLE: Final[dict[object, str]] = {1: "profile"}


@pytest.mark.parametrize(
    ("own_has_run", "other_has_run", "other_is_alive", "is_refused"),
    [
        pytest.param(False, False, True, True, id="both are new"),
        pytest.param(False, True, False, True, id="the old name of a renamed one"),
        pytest.param(True, False, True, False, id="a newcomer has not touched it"),
        pytest.param(True, True, True, True, id="both fill it"),
        pytest.param(True, True, False, False, id="nobody runs the other any more"),
    ],
)
def test_who_has_filled_a_table_alone_goes_on(
    own_has_run: bool,  # noqa: FBT001
    other_has_run: bool,  # noqa: FBT001
    other_is_alive: bool,  # noqa: FBT001
    is_refused: bool,  # noqa: FBT001
) -> None:
    own = TableClaim("orders", TABLE, own_has_run)
    other = TableClaim("spent", {1: "public.profile"}, other_has_run, other_is_alive)
    assert find_rivals(own, [own, other]) == ({"spent": "profile"} if is_refused else {})


def test_one_name_for_two_tables_is_no_conflict() -> None:
    own = TableClaim("orders", {1: "profile"})
    assert find_rivals(own, [TableClaim("spent", {2: "profile"})]) == {}


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f984"])
def test_copies_of_projections_alike_in_their_first_letters_have_names_of_their_own(
    letter: str,
) -> None:
    names = [letter * length + end for length in range(10, 80) for end in ("x", "y")]
    schemas = [make(name) for name in names for make in (new_schema, old_schema)]
    assert len(set(schemas)) == len(schemas)
    assert max(len(schema.encode()) for schema in schemas) <= MAX_NAME_BYTES
    assert new_schema("totals") == "sidecar_new_totals"
