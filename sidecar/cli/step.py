"""`sidecar projections step`: what a projection makes of one stream, event by event."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import click
import msgspec

from sidecar.cli.invocation import finish
from sidecar.cli.printing import FORMAT
from sidecar.errors import UsageError
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.verify.stepper import Row, RowChange, Step, open_stepper, write_row
from sidecar.projections.projection import Subscription, subscriptions_of
from sidecar.telemetry.terminal import say, say_json
from sidecar.wiring.admin import with_store
from sidecar.wiring.boot import prepare
from sidecar.wiring.target import load_target

MAX_CHARACTERS: Final = 400
"""Of a value, statement or row that is printed; JSON has all of it."""
MAX_CHANGES: Final = 20


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

    After each event its statements and the rows that changed are printed; of an event that fails
    nothing is kept, and the next one goes on. A row that gathers events of several streams holds
    what this one contributes.
    """
    if upto_version is not None and upto_version < from_version:
        raise UsageError(f"--upto {upto_version} lies before --from {from_version}.")
    boot = prepare("projections", quiet=True)
    publisher = load_target(target)
    subscription = _find(publisher, name)
    take = _take(publisher, subscription, stream, from_version, upto_version)
    remarks, steps = finish(with_store(boot, take))
    say(f"A copy of {name} with the events of stream {stream!r} alone.", err=True)
    for remark in remarks:
        say(remark, err=True)
    redact = boot.redactor
    if output == "json":
        say_json([_to_document(each, redact) for each in steps])
    else:
        say(redact("\n".join(line for each in steps for line in _write(each))))


def _find(publisher: EventPublisher, name: str) -> Subscription:
    known = {each.name: each for each in subscriptions_of(publisher)}
    if name not in known:
        raise UsageError(f"TARGET has no projection {name!r}, only: {', '.join(sorted(known))}.")
    return known[name]


def _take(
    publisher: EventPublisher,
    subscription: Subscription,
    stream: str,
    from_version: int,
    upto_version: int | None,
) -> Callable[[RawConnection], Awaitable[tuple[Sequence[str], list[Step]]]]:
    async def take(connection: RawConnection) -> tuple[Sequence[str], list[Step]]:
        async with open_stepper(connection, subscription, publisher.types) as stepper:
            steps = stepper.steps(stream, from_version, upto_version)
            return stepper.remarks, [each async for each in steps]

    return take


def _write(step: Step) -> Iterator[str]:
    record = step.record
    yield f"version {record.version}, position {record.position}: {record.type} {_cut(record.data)}"
    for statement in step.statements:
        parameters = ", ".join(map(_cut, statement.parameters))
        bound = f"  [{_cut(parameters)}]" if parameters else ""
        yield f"    sent    {_cut(' '.join(statement.query.split()))}{bound}"
    for change in step.changes[:MAX_CHANGES]:
        yield f"    {_write_change(change)}"
    if (more := len(step.changes) - MAX_CHANGES) > 0:
        yield f"    and {more} more rows; --format json has all"
    if step.error is not None:
        yield f"    failed  {type(step.error).__name__}: {step.error}"
    elif not step.is_handled:
        yield "    not handled"
    elif not step.changes:
        yield "    changed nothing"


def _write_change(change: RowChange) -> str:
    if change.before is None:
        return f"added   {change.table} {_write_row(change.after)}"
    if change.after is None:
        return f"deleted {change.table} {_write_row(change.before)}"
    return f"changed {change.table} {_write_row(change.before)} to {_write_row(change.after)}"


def _write_row(row: Row | None) -> str:
    return _cut(write_row(row))


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}... ({len(text)} characters)"


def _to_document(step: Step, redact: Callable[[str], str]) -> dict[str, object]:
    def mask(value: object) -> msgspec.Raw:
        return msgspec.Raw(redact(write_row(value)).encode())

    return {
        "version": step.record.version,
        "position": step.record.position,
        "type": step.record.type,
        "data": msgspec.Raw(redact(step.record.data).encode()),
        "is_handled": step.is_handled,
        "statements": mask(step.statements),
        "changes": mask(step.changes),
        "error": None
        if step.error is None
        else redact(f"{type(step.error).__name__}: {step.error}"),
    }
