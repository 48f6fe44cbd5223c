"""What to do about an error of PostgreSQL, by its SQLSTATE. Pure."""

from typing import Final

# Or by its class: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CURES: Final = {
    "53100": "the server's disk is full; make room on it, or enlarge it",
    "53200": "the server is out of memory; look at what takes it, or give it more",
    "53300": "the server has no connection left; see in pg_stat_activity who has them, lower "
    "DB_POOL_MAX_SIZE, or raise max_connections",
    "53": "the server has come to a limit; its log says which",
    "25006": "the database takes no writes; let DATABASE_URL lead to the primary, or see who set "
    "default_transaction_read_only, as a provider does whose disk is full",
    "40P01": "it deadlocks with other transactions; the server's log names the statements: let all "
    "that write these tables lock their rows in one order",
    "40": "it conflicts with other transactions; look at what else writes its tables",
    "55P03": "a lock was not granted within lock_timeout; see in pg_locks and pg_stat_activity who "
    "holds it",
    "57014": "a statement was cancelled; look at `statement_timeout` of role and database, and at "
    "what slows statements",
    "57": "the server ends sessions, or takes none; its log says why",
    "08": "the connection was lost; look at the server, and at the network in between",
    "42501": "let the owner GRANT that to the role of DATABASE_URL",
    "42P01": "put the table back, or deploy a handler that does without it",
    "42703": "put the column back, or deploy a handler that does without it",
    "42P10": "put the unique index back that its ON CONFLICT names",
    "22": "look at what the handler makes of an event's values, and at the types of its columns",
    "23": "look at that constraint, or deploy a handler that keeps to it",
    "P0": "look at the trigger or function that raises it, whose words are in the log",
}


def find_cure(sqlstate: str) -> str:
    """Return what it means and what to do; empty where nothing is known."""
    return _CURES.get(sqlstate) or _CURES.get(sqlstate[:2]) or ""


def to_line(text: str, most_characters: int) -> str:
    """Return a text as one line of printable characters, cut where it is long."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:most_characters]
