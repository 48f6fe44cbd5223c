"""Why a query of the sampler failed, and what to do."""

from typing import Final

_WHO_BLOCKS: Final = (
    "See who holds it: SELECT pid, pg_blocking_pids(pid) FROM pg_stat_activity WHERE "
    "wait_event_type = 'Lock'"
)
_REASONS: Final = {
    "55P03": f"another session holds a lock on its table. {_WHO_BLOCKS}",
    "57014": (
        "the statement took too long and was ended. The server is busy, or a lock holds it up. "
        f"{_WHO_BLOCKS}"
    ),
}


def explain_unanswered(question: str, sqlstate: str) -> str:
    """Describe why the query for something, such as `dead letters`, failed."""
    reason = _REASONS.get(sqlstate, "the server refused the statement; its log says why.")
    return f"PostgreSQL did not tell of {question} (SQLSTATE {sqlstate}): {reason}"
