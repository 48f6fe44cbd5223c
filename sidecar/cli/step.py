"""`sidecar projections step`: what a projection makes of one stream, event by event."""

from collections.abc import Iterator

import click
import msgspec

from sidecar.cli.invocation import finish
from sidecar.cli.printing import FORMAT
from sidecar.errors import UsageError
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.stepper import Row, RowChange, Step, open_stepper
from sidecar.projections.projection import Subscription, subscriptions_of
from sidecar.telemetry.terminal import say, say_json
from sidecar.wiring.admin import open_session
from sidecar.wiring.boot import Boot, prepare
from sidecar.wiring.target import load_target


@click.command()
@click.argument("name")
@click.option("--target", required=True, metavar="MODULE:PUBLISHER", help="As `serve` gets it.")
@click.option("--stream", required=True, help="The stream whose events to apply.")
@click.option("--from", "from_version", type=click.IntRange(1), default=1, show_default=True)
@click.option("--upto", "upto_version", type=click.IntRange(1), help="The last version.")
@FORMAT
def step(
    name: str,
    *,
    target: str,
    stream: str,
    from_version: int,
    upto_version: int | None,
    output: str,
) -> None:
    """Apply one stream's events to a copy of NAME's read model that is thrown away.

    After each event its statements and the rows that changed are printed. A row that gathers events
    of several streams holds what this one contributes.
    """
    boot = prepare("projections", quiet=True)
    publisher = load_target(target)
    subscription = _find(publisher, name)
    steps = finish(_take(boot, publisher, subscription, stream, from_version, upto_version))
    if output == "json":
        say_json([_to_document(each) for each in steps])
    else:
        say("\n".join(line for each in steps for line in _write(each)))


def _find(publisher: EventPublisher, name: str) -> Subscription:
    known = {each.name: each for each in subscriptions_of(publisher)}
    if name not in known:
        raise UsageError(f"TARGET has no projection {name!r}, only: {', '.join(sorted(known))}.")
    return known[name]


async def _take(
    boot: Boot,
    publisher: EventPublisher,
    subscription: Subscription,
    stream: str,
    from_version: int,
    upto_version: int | None,
) -> list[Step]:
    async with (
        open_session(boot, init=publisher.init_connection) as connection,
        open_stepper(connection, subscription, publisher.types) as stepper,
    ):
        return [each async for each in stepper.steps(stream, from_version, upto_version)]


def _write(step: Step) -> Iterator[str]:
    record = step.record
    yield f"version {record.version}, position {record.position}: {record.type} {record.data}"
    for statement in step.statements:
        parameters = f"  [{', '.join(statement.parameters)}]" if statement.parameters else ""
        yield f"    sent    {' '.join(statement.query.split())}{parameters}"
    for change in step.changes:
        yield f"    {_write_change(change)}"
    if step.error is not None:
        yield f"    failed  {type(step.error).__name__}: {step.error}"
    elif not step.statements:
        yield "    not handled"


def _write_change(change: RowChange) -> str:
    if change.before is None:
        return f"added   {change.table} {_write_row(change.after)}"
    if change.after is None:
        return f"deleted {change.table} {_write_row(change.before)}"
    return f"changed {change.table} {_write_row(change.before)} to {_write_row(change.after)}"


def _write_row(row: Row | None) -> str:
    return msgspec.json.encode(row).decode()


def _to_document(step: Step) -> dict[str, object]:
    return {
        "version": step.record.version,
        "position": step.record.position,
        "type": step.record.type,
        "data": msgspec.Raw(step.record.data.encode()),
        "statements": step.statements,
        "changes": step.changes,
        "error": None if step.error is None else f"{type(step.error).__name__}: {step.error}",
    }
