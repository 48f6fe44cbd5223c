"""`sidecar projections verify`: compare read models with a replay of the log."""

import asyncio
import shlex
import sys
from collections.abc import Iterator, Sequence

import click

from sidecar.cli.invocation import finish
from sidecar.cli.printing import FORMAT
from sidecar.cli.progress import POLL_SECONDS, Meter, is_left_alone
from sidecar.errors import UsageError
from sidecar.health.duration import Stretch
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.verify.verification import (
    Verification,
    cancel_verification,
    list_verifiable,
    list_verifications,
    request_verification,
)
from sidecar.process.exit_code import EX_FAILED
from sidecar.projections.comparison import DRIFT, Difference, Kind, TableReport, describe
from sidecar.telemetry.terminal import say, say_json
from sidecar.wiring.admin import open_session, with_store
from sidecar.wiring.boot import Boot, prepare

BACKGROUND_SHARE = 0.1
"""The part of a core that a verification in the background may use."""
MAX_PRINTED = 10

_HARMLESS = {
    Kind.OTHER_FORM: "the form of a value, such as 1.0 and 1.00",
    Kind.ROUNDING: "the last digits of a floating-point number",
}


@click.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every projection that declares tables.")
@click.option("--background", is_flag=True, help="At a tenth of a core; return at once.")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Do not compare this column.")
@click.option("--cancel", is_flag=True, help="End what is under way and drop its copy.")
@FORMAT
def verify(
    names: tuple[str, ...],
    *,
    every: bool,
    background: bool,
    ignore: tuple[str, ...],
    cancel: bool,
    output: str,
) -> None:
    """Replay the log beside the read models of NAMES, and compare row by row.

    Nothing is swapped, and nobody waits. Workers do the work; Ctrl-C only ends the watching, and
    calling it again watches on. Exits with 1 when a row is not as the log has it.
    """
    boot = prepare("projections", quiet=True)
    wanted = _choose(boot, names, every=every)
    if cancel:
        _cancel(boot, wanted)
        return
    share = BACKGROUND_SHARE if background else None
    for name in wanted:
        finish(with_store(boot, request_verification, name, share=share, ignored=ignore))
    if background:
        say("Noted; `sidecar projections list` shows what comes of it.")
        return
    _print([finish(_follow(boot, name)) for name in wanted], output)


def _cancel(boot: Boot, names: Sequence[str]) -> None:
    for name in names:
        finish(with_store(boot, cancel_verification, name))
        say(f"The verification of {name} is cancelled.")


def _print(results: Sequence[Verification | None], output: str) -> None:
    """Print what was found, and exit with 1 where a read model is wrong or was not compared."""
    ended = [result for result in results if result is not None]
    if output == "json":
        say_json(ended)
    else:
        for result in ended:
            say("\n".join(_write(result)))
    if len(ended) < len(results) or any(result.state != "equal" for result in ended):
        sys.exit(EX_FAILED)


def _choose(boot: Boot, names: Sequence[str], *, every: bool) -> Sequence[str]:
    if every:
        return finish(with_store(boot, list_verifiable))
    if not names:
        raise UsageError("Name the projections to verify, or say --all.")
    return names


async def _follow(boot: Boot, name: str) -> Verification | None:
    """Watch a verification to its end; return None when no worker goes on with it."""
    async with open_session(boot) as connection:
        with Meter(f"verifying {name}", 1) as meter:
            return await _watch(connection, name, meter)


async def _watch(connection: RawConnection, name: str, meter: Meter) -> Verification | None:
    ownerless = Stretch()
    while True:
        (found,) = await list_verifications(connection, [name])
        if found.state != "running":
            return found
        unowned = () if found.is_owned else (name,)
        if is_left_alone(ownerless, unowned, "The verification is noted and goes on"):
            return None
        meter.show(found.filled_position, found.live_position)
        await asyncio.sleep(POLL_SECONDS)


def _write(found: Verification) -> Iterator[str]:
    """Yield lines about what was found."""
    if found.report is None or found.state not in {"equal", "drifted"}:
        yield f"{found.projection} was not verified: {found.detail or found.state}"
        return
    yield describe(found.projection, found.report)
    if found.report.reads and found.report.drift_rows:
        reads = ", ".join(found.report.reads)
        yield f"  the handler reads {reads}, too: if that has changed since, so have its rows"
    if found.partitions > 1 and found.report.drift_rows:
        yield (
            f"  its {found.partitions} partitions apply events of different streams in no fixed "
            "order: what depends on that may differ"
        )
    for table in found.report.tables:
        yield from _write_table(table)
        yield from _write_events(found.projection, table)


def _write_table(table: TableReport) -> Iterator[str]:
    key = f"by {', '.join(table.key)}" if table.key else "whole rows, for it has no key"
    yield f"  {table.table}: {table.rows} rows, {key}"
    for column, reason in table.left_out.items():
        yield f"    left out {column}: {reason}"
    for kind, what in _HARMLESS.items():
        if rows := table.counts.get(kind, 0):
            yield f"    {rows} rows are equal but for {what}"
    for column in table.unsteady_columns:
        yield f"    {column} differs in every row; --ignore {column} leaves it out"
    if table.has_other_keys:
        ignore = " ".join(f"--ignore {shlex.quote(name)}" for name in table.key)
        yield f"    no row has the key that the replay gave it; {ignore} compares the rest"
    wrong = [d for d in table.differences if d.kind in DRIFT]
    for difference in wrong[:MAX_PRINTED]:
        yield f"    {_write_difference(difference)}"
    if more := table.drift_rows - len(wrong[:MAX_PRINTED]):
        yield f"    and {more} more"


def _write_events(projection: str, table: TableReport) -> Iterator[str]:
    """Yield which events may have made one of the wrong rows, with the command that shows how."""
    for each in table.events:
        key = _write_key(each.key)
        where = (
            f"stream {each.stream}" if each.is_named else f"stream {each.stream}, whose data has it"
        )
        yield f"    events of {key}: {where}, positions {', '.join(map(str, each.positions))}"
        versions = f"--from {each.first_version} --upto {each.last_version}"
        yield (
            f"      sidecar projections step {shlex.quote(projection)} --target MODULE:PUBLISHER "
            f"--stream {shlex.quote(each.stream)} {versions}"
        )


def _write_key(key: Sequence[str | None]) -> str:
    return ", ".join("null" if value is None else value for value in key)


def _write_difference(difference: Difference) -> str:
    key = _write_key(difference.key)
    times = f", {difference.rows} times" if difference.rows > 1 else ""
    columns = f" in {', '.join(difference.columns)}" if difference.columns else ""
    return f"{key}: {difference.kind}{columns}{times}"
