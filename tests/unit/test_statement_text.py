"""What is known of a statement from its text alone."""

import pytest

from sidecar.postgres.statement_effect import Trace, effect_of, names_in
from sidecar.projections.eager_statements import MAX_CHARACTERS, MAX_STATEMENTS, EagerStatements
from sidecar.projections.statement_text import head_of


@pytest.mark.parametrize(
    ("query", "head"),
    [
        ("INSERT INTO t\n  VALUES ('secret', $1, 42, 1.5e3)", "INSERT INTO t VALUES (?, $1, ?, ?)"),
        ("SELECT E'it\\'s secret', $$ secret $$ -- secret", "SELECT ?, ?"),
        ("/* secret */ UPDATE t1 SET a = 1", "UPDATE t1 SET a = ?"),
        ("UPDATE \x1b[31m", "UPDATE ?[?"),
        ("SELECT " + "a, " * 100, "SELECT " + ("a, " * 18)[:53] + "..."),
    ],
)
def test_head_of_a_statement_is_one_printable_line_without_values(query: str, head: str) -> None:
    assert head_of(query) == head


@pytest.mark.parametrize(
    ("query", "traces"),
    [
        ("set search_path to x", {Trace.SETTING}),
        ("SELECT 1; RESET ROLE", {Trace.SETTING}),
        ("SELECT set_config($1, $2, true)", {Trace.SETTING}),
        ("DO $$ BEGIN SET LOCAL a.b = 1; END $$", {Trace.SETTING}),
        ("SET CONSTRAINTS ALL IMMEDIATE", {Trace.CONSTRAINTS}),
        ("CREATE TEMP TABLE x (a int)", {Trace.TEMPORARY}),
        ("create local temporary view x as select 1", {Trace.TEMPORARY}),
        ("SELECT 1 AS a INTO TEMP x", {Trace.TEMPORARY}),
        ("PREPARE x AS SELECT 1", {Trace.PREPARED}),
        ("DECLARE c CURSOR FOR SELECT 1", {Trace.CURSOR}),
        ("ROLLBACK WORK TO x", {Trace.SAVEPOINT}),
        ("TRUNCATE t", {Trace.EMPTIED}),
        ("DO $$ BEGIN TRUNCATE t; END $$", {Trace.EMPTIED}),
        ('delete from "T" -- all of it', {Trace.EMPTIED}),
        ("WITH gone AS (DELETE FROM only a.t AS x RETURNING *) TABLE gone", {Trace.EMPTIED}),
        ("DELETE FROM t; INSERT INTO t VALUES (1)", {Trace.EMPTIED}),
        ("DELETE FROM t WHERE a = $1", set()),
        ("DELETE FROM t AS x USING s WHERE x.a = s.a", set()),
        ("DELETE FROM t x WHERE CURRENT OF c RETURNING a", set()),
        ("INSERT INTO truncate VALUES ('DELETE FROM t')", set()),
        ("SELECT date_trunc('day', a), truncate FROM deletes", set()),
        ("UPDATE t SET temp = 1", set()),
        ("INSERT INTO temp (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = 2", set()),
        ("INSERT INTO temp VALUES ('SET x TO y; CREATE TEMP TABLE z')", set()),
        ("MERGE INTO t USING s ON a = b WHEN MATCHED THEN UPDATE SET a = 1", set()),
        ("SELECT CASE WHEN a THEN 1 END", set()),
    ],
)
def test_what_a_statement_leaves_behind_is_known(query: str, traces: set[Trace]) -> None:
    assert effect_of(query).traces == traces


@pytest.mark.parametrize(
    ("query", "deed"),
    [
        ("SET TRANSACTION READ ONLY", "changes the transaction"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "ends a session"),
        ("DO $$ BEGIN PERFORM pg_terminate_backend(1); END $$", "ends a session"),
        ("SELECT query_to_xml('SELECT pg_terminate_backend(1)')", ""),
        ("DEALLOCATE ALL", "forgets what asyncpg has prepared"),
        ("SET transaction_isolation TO x", ""),
        ("DEALLOCATE x", ""),
    ],
)
def test_what_a_handler_may_not_do_is_known(query: str, deed: str) -> None:
    assert effect_of(query).forbidden == deed


def test_names_of_settings_of_the_service_are_found() -> None:
    assert names_in("SET LOCAL app.user = 'x'; SELECT set_config('a.b', 1), f.g(1)") == {
        "app.user",
        "a.b",
    }


def test_few_statements_are_learned_and_then_all() -> None:
    statements = EagerStatements(is_all=False)
    assert not any(statements.suspect(f"{number}") for number in (1, 2, 1))
    assert statements.suspect("1")
    assert not statements.learn("1")
    for number in range(2, MAX_STATEMENTS + 1):
        assert statements.learn(f"{number}")
    before = statements.is_all
    assert statements.learn("one more")
    assert (before, statements.is_all) == (False, True)
    assert not statements.learn("yet another")


def test_statement_that_is_too_long_to_keep_makes_all_eager() -> None:
    statements = EagerStatements(is_all=False)
    assert statements.learn("x" * (MAX_CHARACTERS + 1))
    assert statements.is_all
