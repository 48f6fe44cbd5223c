"""Playing the same events through a projection in every way, and comparing what that leaves."""

import atexit
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NoReturn

from sidecar.errors import DeferredStatusError, ProjectionError, RebuildStrayedError
from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.postgres.embedded import embedded_server
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.verify.scratch import Row, is_of_code, open_scratch
from sidecar.projections.projection import Subscription
from sidecar.telemetry.visible import visible_lines
from sidecar.testing.clone import clone
from sidecar.testing.injected_fault import Fault
from sidecar.testing.ledger import Entry
from sidecar.testing.parting import Parting, compare_letters, compare_rows, find_changed
from sidecar.testing.play import Outcome, Player
from sidecar.testing.run_store import RunHaltedError
from sidecar.testing.script import choose_types, write_records
from sidecar.testing.watch import Watch, listen
from sidecar.testing.way import AGAIN, PLAIN, Way, choose_ways

_OUTSIDE: Final = (
    "A rollback does not undo it, and the event is applied again after one. Read and write through "
    "the connection, and leave effects outside to a handler of their own (`add_handler`)."
)


@dataclass(frozen=True, slots=True)
class CheckedProjection:
    """What a projection makes of the events, in whichever way they reach it.

    Attributes:
        rows: Of each of its tables, as JSON has them, without columns that are left out.
        dead_letters: Events that failed for good, as "position: error", in the order in which
            they did; later events of their streams wait behind them.
        ways: In how many ways the events were played.
    """

    rows: Mapping[str, Sequence[Row]]
    dead_letters: Sequence[str]
    ways: int


async def check(
    projection: object,
    events: Iterable[object],
    types: EventTypes | None,
    database: str | MeteredPool | None,
    ignore: Collection[str],
) -> CheckedProjection:
    """Do what `sidecar.testing.check_projection` says."""
    given = list(events)
    types = choose_types(given, types)
    records = write_records(given, types)
    dsn = _find_server(database)
    async with open_scratch(dsn) as scratch:
        player = Player(projection, types, dsn, scratch, sorted(ignore), Watch())
        subscription = player.subscribe()
        _require_checkable(subscription, records)
        listen()
        return await _Check(player, subscription, records).run()


def _find_server(database: str | MeteredPool | None) -> str:
    if isinstance(database, MeteredPool):
        return database.dsn
    return database or _start_server()


@cache
def _start_server() -> str:
    """Start the embedded server, which ends with this process, and return where it is."""
    stack = ExitStack()
    atexit.register(stack.close)
    # Not in the working directory, whose path may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="sidecar-check-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return stack.enter_context(embedded_server(folder))


def _require_checkable(subscription: Subscription, records: Sequence[RecordedEvent]) -> None:
    if not subscription.is_repeatable:
        raise ProjectionError(
            f"{subscription.name} takes no connection: all that it does lies outside of its "
            "checkpoint's transaction and is done again after a crash, so there is nothing to be "
            "compared. Let it write through the connection of `handle(event, connection)`."
        )
    if not records:
        raise ProjectionError("There are no events to play.")


class _Check:
    """One projection with its events. Call `run` once."""

    def __init__(
        self, player: Player, subscription: Subscription, records: Sequence[RecordedEvent]
    ) -> None:
        self._player: Final = player
        self._subscription: Final = subscription
        self._records: Final = records
        self._name: Final = subscription.name

    async def run(self) -> CheckedProjection:
        plain = await self._play(PLAIN, self._records)
        self._require_applied(plain)
        ways = list(choose_ways(self._subscription, len(self._records)))
        for way in ways:
            outcome = await self._play(way, self._records)
            if parting := self._compare(way, plain, outcome):
                _fail(await self._explain(way, parting, plain))
            self._require_no_trace(way, plain, outcome)
        letters = [_describe_letter(entry) for entry in plain.dead_letters]
        return CheckedProjection(plain.rows, letters, len(ways) + 1)

    async def _play(self, way: Way, records: Sequence[RecordedEvent]) -> Outcome:
        """Play events in one way; what cannot work in any is told at once."""
        try:
            outcome = await self._player.play(way, records)
        except (RunHaltedError, RebuildStrayedError) as error:
            _fail(f"{self._name}, when {way.name}: {error}", error)
        for deed, record in self._player.watch.seen.items():
            _fail(f"{self._name} {deed}, at {_place(record)}. {_OUTSIDE}")
        if outcome.misuse is not None:
            misuse, record = outcome.misuse
            is_status = isinstance(misuse, DeferredStatusError)
            what = "reads the status of a statement" if is_status else "misuses its connection"
            _fail(f"{self._name} {what}, at {_place(record)}: {misuse}", misuse)
        return outcome

    def _require_applied(self, plain: Outcome) -> None:
        """Refuse a projection that fails for every event, or by what its statements are."""
        for entry in plain.dead_letters:
            if not plain.handled:
                _fail(f"{self._name} applies none of the events: {_describe_letter(entry)}.")
            if is_of_code(entry.error_type):
                _fail(
                    f"A statement of {self._name} cannot work, at {_place(entry.record)}: "
                    f"{entry.error_type}: {entry.error_message}."
                )

    def _compare(self, way: Way, plain: Outcome, outcome: Outcome) -> Parting | None:
        in_order = way.makes_fault is Fault and self._subscription.partitions == 1
        return compare_rows(plain.shapes, plain.rows, outcome.rows) or compare_letters(
            plain.dead_letters, outcome.dead_letters, in_order=in_order
        )

    async def _explain(self, way: Way, parting: Parting, plain: Outcome) -> str:
        place = await self._find_first(way)
        cause = way.cause
        if way is not AGAIN and (kept := self._find_kept(plain)):
            cause = f"{cause} The events change the object: {kept}."
        columns = {name for each in parting.differences for name in each.columns}
        hint = f" Such is {', '.join(sorted(columns))}." if way is AGAIN and columns else ""
        head = f"{self._name} leaves something else when {way.name} than one by one."
        return "\n".join((head, *parting.lines, f"They part at {place}.", cause + hint))

    async def _find_first(self, way: Way) -> str:
        """Return the first event after which both ways differ."""
        equal, unlike = 0, len(self._records)
        while unlike - equal > 1:
            middle = (equal + unlike) // 2
            if await self._differ(way, self._records[:middle]):
                unlike = middle
            else:
                equal = middle
        return _place(self._records[unlike - 1])

    async def _differ(self, way: Way, records: Sequence[RecordedEvent]) -> bool:
        plain = await self._player.play(PLAIN, records)
        outcome = await self._player.play(way, records)
        return self._compare(way, plain, outcome) is not None

    def _find_kept(self, outcome: Outcome) -> str:
        """Return which attributes a run has changed."""
        changed = find_changed(clone(self._player.target), outcome.projection)
        return ", ".join(f"{name} from {was} to {now}" for name, (was, now) in changed.items())

    def _require_no_trace(self, way: Way, plain: Outcome, outcome: Outcome) -> None:
        """Refuse a projection on whose object an event that is applied again leaves more."""
        ignored = self._player.ignored
        changed = {
            name: values
            for name, values in find_changed(plain.projection, outcome.projection).items()
            if name.removeprefix("self.") not in ignored
        }
        if way.restarts or way.rebuilds or not changed:
            return
        name, (was, now) = next(iter(changed.items()))
        _fail(
            f"{self._name} does something outside of its tables that is not undone: when "
            f"{way.name}, {name} is {now}, and one by one it is {was}. {_OUTSIDE} What does no "
            f"harm is left out with `ignore=({name.removeprefix('self.')!r},)`."
        )


def _fail(message: str, cause: Exception | None = None) -> NoReturn:
    """Fail the check; rows and errors may hold what a terminal would obey."""
    raise AssertionError(visible_lines(message)) from cause


def _place(record: RecordedEvent) -> str:
    return f"event {record.position} ({record.type}, version {record.version} of {record.stream})"


def _describe_letter(entry: Entry) -> str:
    error = f"{entry.error_type}: {entry.error_message}"
    return f"{entry.record.position}: {error}"
