"""`sidecar projections rebuild`: fill a new copy, show what its swap changes, and swap it in."""

import sys

import click

from sidecar.cli.invocation import finish
from sidecar.cli.progress import watch_rebuild
from sidecar.cli.start_option import start as place_in_log
from sidecar.errors import ProjectionError
from sidecar.postgres.dead_letters.dead_letter import count_discarded
from sidecar.postgres.log.erased import find_erased
from sidecar.postgres.rebuild.preview_store import read_verdict
from sidecar.postgres.rebuild.rebuild import (
    cancel_rebuild,
    drop_old_copy,
    replay_handler,
    start_rebuild,
)
from sidecar.postgres.rebuild.refill import describe_refill, refill
from sidecar.process.exit_code import EX_FAILED
from sidecar.projections.comparison import describe_erased
from sidecar.projections.log_start import Start
from sidecar.projections.preview import describe_changes, needs_approval
from sidecar.projections.projection_status import ProjectionStatus, Rebuild
from sidecar.telemetry.terminal import Screen, say
from sidecar.wiring.admin import with_store
from sidecar.wiring.boot import Boot, prepare

_START_HELP = "Have only what is after a position, from a time on, or from `now` on."
_YES_HELP = "Swap even if rows vanish; with --in-place, empty the tables."


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help=_YES_HELP)
@click.option("--cancel", is_flag=True, help="Drop the new copy; the live one is not touched.")
@click.option("--drop-old", is_flag=True, help="Drop the copy that the last rebuild replaced.")
@click.option("--no-wait", is_flag=True, help="Return at once; workers go on.")
@click.option("--in-place", is_flag=True, help="Empty the live tables and fill them again.")
@click.option("--replay-effects", is_flag=True, help="For a handler: have every event again.")
@click.option("--start-at", type=place_in_log, metavar="START", help=_START_HELP)
def rebuild(
    name: str,
    *,
    yes: bool,
    cancel: bool,
    drop_old: bool,
    no_wait: bool,
    in_place: bool,
    replay_effects: bool,
    start_at: Start | None,
) -> None:
    """Fill a new copy of NAME's read model beside the live one, then swap it in.

    Workers do the work. Ctrl-C only ends the watching; calling it again watches on, and takes up a
    rebuild that halted. What the swap changes is printed; where rows of the live tables would
    vanish, it asks first, and without a terminal it halts: `--yes` approves that.
    """
    boot = prepare("projections", quiet=True)
    if replay_effects:
        finish(with_store(boot, replay_handler, name, start_at))
        say(f"{name} hears of every event again.")
    elif cancel:
        finish(with_store(boot, cancel_rebuild, name))
        say(f"The rebuild of {name} is cancelled.")
    elif drop_old:
        finish(with_store(boot, drop_old_copy, name))
        say(f"The old copy of {name} is dropped.")
    elif in_place:
        _refill(boot, name, start_at, yes=yes)
    else:
        _rebuild(boot, name, start_at, yes=yes, no_wait=no_wait)


def _rebuild(boot: Boot, name: str, start: Start | None, *, yes: bool, no_wait: bool) -> None:
    if erased := finish(with_store(boot, find_erased, name)):
        say(f"{describe_erased(erased)[0].upper()}{describe_erased(erased)[1:]}.", err=True)
    finish(with_store(boot, start_rebuild, name, start, is_approved=yes))
    if no_wait:
        say(f"The rebuild of {name} is under way; see `sidecar projections list`.")
    elif not _follow(boot, name):
        sys.exit(EX_FAILED)


def _follow(boot: Boot, name: str) -> bool:
    """Watch a rebuild to its end, and ask where that is up to a person; True once it is swapped."""
    while True:
        status = finish(watch_rebuild(boot, name))
        if status is not None and status.rebuild is Rebuild.RUNNING:
            return False
        is_halted = status is not None and status.rebuild is Rebuild.HALTED
        is_waiting = _show_changes(boot, name, is_halted=is_halted)
        if not is_halted:
            _tell_swapped(boot, name)
            return True
        if not is_waiting or not _asks(f"Swap the new copy of {name} in all the same?"):
            _tell_halted(status)
            return False
        finish(with_store(boot, start_rebuild, name, is_approved=True))


def _show_changes(boot: Boot, name: str, *, is_halted: bool) -> bool:
    """Print what the swap changes or has changed; return True while that is to be approved."""
    verdict = finish(with_store(boot, read_verdict, name))
    if verdict.report is None:
        return False
    is_waiting = is_halted and needs_approval(verdict.report) and not verdict.is_approved
    if is_waiting or not is_halted:
        say("The swap would change:" if is_waiting else "The swap changed:")
        say("\n".join(f"  {line}" for line in describe_changes(verdict.report)))
    return is_waiting


def _tell_swapped(boot: Boot, name: str) -> None:
    if discarded := finish(with_store(boot, count_discarded, name)):
        say(f"{discarded} discarded event(s) were passed over, as they are to be.")
    say(f"The new copy of {name} is in place; --drop-old drops the one it replaced.")


def _tell_halted(status: ProjectionStatus | None) -> None:
    detail = status.detail if status else None
    say(f"The rebuild stopped: {detail}. The live copy goes on.", err=True)


def _refill(boot: Boot, name: str, start: Start | None, *, yes: bool) -> None:
    told = finish(with_store(boot, describe_refill, name))
    say(told, err=True)
    if not yes and not _asks(f"Empty the tables of {name}?"):
        raise ProjectionError(
            f"Nothing was changed. `sidecar projections rebuild {name} --in-place --yes` does it."
        )
    finish(with_store(boot, refill, name, start))
    say(f"{name} is emptied and fills again; see `sidecar projections list`.")


def _asks(question: str) -> bool:
    """Ask a person, and return True for a yes; False where none looks on."""
    if not (Screen().is_terminal and sys.stdin.isatty()):
        return False
    return click.confirm(question, default=False)
