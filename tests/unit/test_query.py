"""Statements as they are sent: whoever traces them names each by its first word."""

import re
from pathlib import Path

import pytest

from sidecar.postgres import query
from sidecar.postgres.query import statements
from tests.markdown import read

ROOM = Path(query.__file__).parent

VERBS = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE"}


@pytest.mark.parametrize("name", statements())
def test_statement_begins_with_its_verb(name: str) -> None:
    first, *rest = statements()[name].split()
    assert first in VERBS
    assert rest


def test_remark_within_a_statement_is_left_where_it_is() -> None:
    assert all("-- name:" not in text for text in statements().values())
    assert statements()["append_one"].startswith("INSERT INTO sidecar.events ")


def test_each_name_stands_once_and_is_used() -> None:
    files = [path for path in ROOM.rglob("*.sql") if path.parent.name != "migrations"]
    names = re.findall(r"^-- name: (\w+)$", "\n".join(map(read, files)), re.MULTILINE)
    code = "\n".join(map(read, ROOM.parent.rglob("*.py")))

    assert sorted(names) == sorted(statements())
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []
    assert set(re.findall(r"\bsql\(\"(\w+)\"\)", code)) - set(names) == set()
