"""`sidecar dead-letters`: what a projection could not apply, and the cure."""

import sys
from collections.abc import Mapping
from functools import partial

import click

from sidecar.cli.invocation import finish
from sidecar.cli.printing import FORMAT, print_rows
from sidecar.cli.progress import follow_retry
from sidecar.errors import UsageError
from sidecar.postgres.dead_letters import dead_letter
from sidecar.postgres.dead_letters.dead_letter import DeadLetterDetail, DeadLetterFilter
from sidecar.postgres.dead_letters.letter_deletions import list_deleted
from sidecar.process.exit_code import EX_FAILED
from sidecar.projections.deleted_letters import DeletedLetters, describe_deleted
from sidecar.telemetry.terminal import say, say_json
from sidecar.telemetry.visible import visible
from sidecar.wiring.admin import show_dead_letter, with_store
from sidecar.wiring.boot import Boot, prepare

_COLUMNS = {
    "id": "ID",
    "projection": "PROJECTION",
    "stream": "STREAM",
    "event_type": "EVENT",
    "error_type": "ERROR",
    "attempts": "TRIES",
    "first_failed_at": "SINCE",
    "retry_at": "RETRY AT",
}


@click.group("dead-letters")
def dead_letters() -> None:
    """See, retry and discard events that a projection could not apply."""


@dead_letters.command("list")
@click.option("--projection", help="Only of this projection.")
@click.option("--stream", help="Only of this stream.")
@click.option("--error", "error_type", help="Only with this type of error.")
@click.option("--older-than", type=click.FloatRange(0), help="Only older than so many seconds.")
@click.option("--all", "everything", is_flag=True, help="Also those retried or discarded.")
@FORMAT
def list_(
    projection: str | None,
    stream: str | None,
    error_type: str | None,
    older_than: float | None,
    *,
    everything: bool,
    output: str,
) -> None:
    """List dead letters, the oldest first."""
    which = DeadLetterFilter(
        projection=projection,
        stream=stream,
        error_type=error_type,
        older_than_seconds=older_than,
        open_only=not everything,
    )
    boot = _boot()
    rows = finish(with_store(boot, dead_letter.list_dead_letters, which))
    print_rows(rows, _COLUMNS, output=output, empty="No dead letters.")
    if output != "json":
        _tell_deleted(finish(with_store(boot, list_deleted)), projection)


@dead_letters.command()
@click.argument("letter_id", type=int, metavar="ID")
@FORMAT
def show(letter_id: int, output: str) -> None:
    """Show the event, the error with its traceback, attempts and trace."""
    detail = finish(show_dead_letter(_boot(), letter_id))
    if output == "json":
        say_json(detail)
    else:
        say(_describe(detail))


@dead_letters.command()
@click.argument("letter_id", type=int, metavar="[ID]", required=False)
@click.option("--projection", help="All of this projection.")
@click.option("--stream", help="All of this stream.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.option("--no-wait", is_flag=True, help="Return at once; workers go on.")
def retry(
    letter_id: int | None,
    projection: str | None,
    stream: str | None,
    *,
    everything: bool,
    no_wait: bool,
) -> None:
    """Take parked streams up again, each in order, until it fails or has caught up.

    The projection's worker does the work. Ctrl-C only ends the watching.
    """
    if not everything and letter_id is None and projection is None and stream is None:
        raise UsageError("Say which: ID, --projection NAME, --stream NAME or --all.")
    boot = _boot()
    request = partial(dead_letter.request_retry, letter_id=letter_id)
    ids = finish(with_store(boot, request, projection=projection, stream=stream))
    if not ids:
        say("No open dead letter matches.")
    elif no_wait:
        say(f"Asked for a retry of {len(ids)}.")
    elif not finish(follow_retry(boot, ids)):
        sys.exit(EX_FAILED)


@dead_letters.command()
@click.argument("letter_id", type=int, metavar="ID")
@click.option("--reason", required=True, help="Why; kept for the audit.")
def discard(letter_id: int, reason: str) -> None:
    """Give an event up; events queued behind it are taken up again."""
    finish(with_store(_boot(), dead_letter.discard, letter_id, reason))
    say(f"Dead letter {letter_id} is discarded.")


def _tell_deleted(deleted: Mapping[str, DeletedLetters], projection: str | None) -> None:
    for name, one in deleted.items():
        if projection in {None, name}:
            say(visible(f"Of {name} {describe_deleted(name, one)}."))


def _describe(detail: DeadLetterDetail) -> str:
    facts = {
        "dead letter": detail.id,
        "projection": detail.projection,
        "event": f"{detail.event_type} at position {detail.position}{_describe_erasure(detail)}",
        "stream": f"{detail.stream}, version {detail.version}; {detail.queued} more wait behind it",
        "error": f"{detail.error_type}: {detail.error_message} ({detail.category})",
        "attempts": detail.attempts,
        "failed": f"{detail.first_failed_at:%F %T%z}, last {detail.last_failed_at:%F %T%z}",
        "trace": detail.trace_id or "-",
        "resolution": detail.resolution or "open",
        "reason": detail.reason or "-",
        "data": detail.data or "-",
    }
    width = max(map(len, facts))
    # One line each: a line end in an event must not look like one of these.
    lines = [f"{name:{width}}  {visible(str(value))}" for name, value in facts.items()]
    return "\n".join([*lines, "", detail.traceback.rstrip()])


def _describe_erasure(detail: DeadLetterDetail) -> str:
    if not detail.is_erased:
        return ""
    return ", erased from the log: a retry ends this, and takes up what is left of the stream"


def _boot() -> Boot:
    return prepare("dead-letters", quiet=True)
