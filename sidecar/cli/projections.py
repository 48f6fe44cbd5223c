"""`sidecar projections`: how they stand; pause, resume, rebuild, accept, restore, remove."""

import re

import click

from sidecar.cli.invocation import finish
from sidecar.cli.printing import FORMAT, print_rows
from sidecar.cli.start_option import start as place_in_log
from sidecar.errors import UsageError
from sidecar.postgres.checkpoints import block
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.log_memory.log_loss import accept_log
from sidecar.projections.log_start import Start
from sidecar.projections.ports import State
from sidecar.telemetry.terminal import say
from sidecar.wiring.admin import list_projections, with_store
from sidecar.wiring.boot import Boot, prepare
from sidecar.wiring.decision import Decision, decide

_COLUMNS = {
    "name": "PROJECTION",
    "status": "STATUS",
    "position": "POSITION",
    "lag_events": "LAG (EVENTS)",
    "lag_seconds": "LAG (S)",
    "dead_letters": "PARKED",
    "rebuild": "REBUILD",
    "owners": "LEASE HELD BY",
    "detail": "DETAIL",
}

_NAMES = click.argument("names", metavar="NAME...", nargs=-1, required=True)
_AT_HELP = "The last position whose effects it holds, `now`, or a time; it goes on after that."


@click.group()
def projections() -> None:
    """See how projections stand; pause, resume, rebuild, accept, restore and remove them."""


@projections.command("list")
@FORMAT
def list_(output: str) -> None:
    """Show status, position, lag, parked streams, rebuild and lease holder.

    What the application calls in its own processes, in `publish`, is shown as `in_process`.
    """
    rows = finish(list_projections(_boot()))
    print_rows(rows, _COLUMNS, output=output, empty="No projection has run yet.")


@projections.command()
@click.argument("name")
def pause(name: str) -> None:
    """Stop NAME after its present batch; other projections go on."""
    finish(with_store(_boot(), set_state, name, State.PAUSED))
    say(f"{name} is paused; `sidecar projections resume {name}` lets it go on.")


@projections.command()
@click.argument("name")
def resume(name: str) -> None:
    """Let NAME go on from its checkpoint."""
    finish(with_store(_boot(), set_state, name, State.RUNNING))
    say(f"{name} goes on.")


@projections.command()
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--log", "token", metavar="TOKEN", help="The log itself, as its message names it.")
@click.option("--at", "start", type=place_in_log, metavar="START", help=_AT_HELP)
@click.option("--retire", "types", multiple=True, help="A type that nobody wants any more.")
@click.option("--renamed-from", "old", help="The name that it had; nobody runs it any more.")
@click.option("--reason", required=True, help="Why it is right as it is; kept for the audit.")
def accept(
    names: tuple[str, ...],
    token: str | None,
    start: Start | None,
    types: tuple[str, ...],
    old: str | None,
    reason: str,
) -> None:
    """Take NAMES as they are, or the log.

    That is with tables that somebody else changed or that a member of a group joined late, without
    the events that they passed over, as taken over from another service or, where one waits for a
    decision, as of a position; without types of events that nobody wants any more; or as what
    another name stood for. A log is taken that has lost its end, with all handlers that wait, or
    that is another database's.
    """
    if not reason.strip():
        raise UsageError("Say why it is right as it is: --reason TEXT. It is kept for the audit.")
    if bool(names) == (token is not None):
        raise UsageError("Say what: NAME, or --log TOKEN.")
    if sum((token is not None, start is not None, bool(types), old is not None)) > 1:
        raise UsageError("Give one of --log, --at, --retire and --renamed-from at a time.")
    if old is not None and len(names) > 1:
        raise UsageError("A name is handed over to one other: give one NAME.")
    boot = _boot()
    if token is not None:
        _accept_log(boot, token, reason.strip())
    for name in names:
        decision = Decision(reason.strip(), start, types, old)
        say(f"{name}: {finish(with_store(boot, decide, boot.service, name, decision))}.")


def _accept_log(boot: Boot, token: str, reason: str) -> None:
    if not re.fullmatch("[0-9a-f]{12}", token):
        raise UsageError("The token has 12 digits; the message about the log names it.")
    handlers = finish(with_store(boot, accept_log, token, reason))
    say("The log is taken as it is.")
    for handler in handlers:
        say(f"{handler} goes on.")


@projections.command()
@_NAMES
def restore(names: tuple[str, ...]) -> None:
    """Put deleted checkpoints of NAMES back where they stood."""
    for name in names:
        positions = finish(with_store(_boot(), block.restore, name))
        where = ", ".join(str(position) for position in positions.values())
        say(f"{name} goes on after position {where}." if positions else f"{name} lacks none.")


@projections.command()
@_NAMES
def remove(names: tuple[str, ...]) -> None:
    """Forget NAMES, which no worker runs any more; their tables stay as they are."""
    for name in names:
        if finish(with_store(_boot(), block.remove, name)):
            say(f"{name} is forgotten; its tables are not touched.")
        else:
            say(f"{name} was forgotten before.")


def _boot() -> Boot:
    return prepare("projections", quiet=True)
