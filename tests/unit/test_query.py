"""Statements as they are sent: whoever traces them names each by its first word."""

import pytest

from sidecar.postgres.query import statements

VERBS = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE"}


@pytest.mark.parametrize("name", statements())
def test_statement_begins_with_its_verb(name: str) -> None:
    first, *rest = statements()[name].split()
    assert first in VERBS
    assert rest


def test_remark_within_a_statement_is_left_where_it_is() -> None:
    assert all("-- name:" not in text for text in statements().values())
    assert statements()["append_one"].startswith("INSERT INTO sidecar.events ")
