"""`python -m tests.benchmarks`: one table of what each part costs, and `build/bench.json`."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import uvloop
from rich.console import Console
from rich.table import Table

from sidecar.errors import SidecarError
from tests.benchmarks import (
    append,
    boot,
    catchup,
    collector,
    configuration,
    lag,
    latency,
    probe,
    publish,
    scrape,
    verify,
    workers,
)
from tests.benchmarks.kept import as_row, encode, keep, kept_figures, show
from tests.benchmarks.measure import BenchmarkError, Result, SkippedError
from tests.benchmarks.place import Place, open_place
from tests.benchmarks.receiver import FAULTS

OUTPUT: Final = Path("build/bench.json")
LARGE_EVENTS: Final = 10_000_000
USUAL_EVENTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Something to run, and the names of the rows that it yields."""

    names: tuple[str, ...]
    run: Callable[[Place], Awaitable[list[Result]]]

    def is_wanted(self, only: tuple[str, ...]) -> bool:
        return any(name.startswith(only) for name in self.names)


BENCHMARKS: Final = (
    Benchmark(("append-one", "append-batch"), append.run),
    Benchmark(("catchup",), catchup.run),
    Benchmark(("catchup-poison-0.1", "catchup-poison-0.5"), catchup.run_poison),
    Benchmark(("catchup-peer",), catchup.run_peer),
    Benchmark(("latency-p50", "latency-p99"), latency.run),
    Benchmark(("lag-growth",), lag.run),
    Benchmark(("workers", "workers-bare"), workers.run),
    Benchmark(("verify", "verify-blocked"), verify.run),
    Benchmark(
        ("publish-off", "publish-sampled", "publish-unsampled", "publish-naive"), publish.run
    ),
    Benchmark(
        (
            "probe-health",
            "probe-ready",
            "probe-health-server",
            "probe-ready-server",
            "probe-health-fastapi",
            "probe-ready-fastapi",
            "probe-frozen-health",
            "probe-frozen-ready",
        ),
        probe.run,
    ),
    Benchmark(tuple(f"collector-{fault.__name__}" for fault in FAULTS), collector.run),
    Benchmark(("scrape", "scrape-health"), scrape.run),
    Benchmark(("boot-ready", "boot-working", "boot-memory"), boot.run),
    Benchmark(("configuration",), configuration.run),
)


@click.command()
@click.option("--only", multiple=True, help="Run only rows whose name starts with this.")
@click.option("--large", is_flag=True, help="Sample a log of 10 million events, not of 1 million.")
@click.option(
    "--keep",
    "is_kept",
    is_flag=True,
    help="Compare later runs with this one, if no benchmark of it failed or was left out.",
)
def main(only: tuple[str, ...], *, large: bool, is_kept: bool) -> None:
    """Measure what each part costs, against a peer, in one run.

    A limit that is missed stands in the table; only a benchmark that fails makes the run fail, with
    exit code 1.
    """
    # Not on a terminal, rich would squeeze the table into 80 columns.
    console = Console() if sys.stdout.isatty() else Console(width=150)
    if is_kept and only:
        raise click.UsageError("only a whole run is kept; leave --only out")
    only = only or ("",)
    chosen = [benchmark for benchmark in BENCHMARKS if benchmark.is_wanted(only)]
    if not chosen:
        names = ", ".join(name for benchmark in BENCHMARKS for name in benchmark.names)
        raise click.BadParameter(f"nothing starts with {', '.join(only)}; there are {names}")
    events = LARGE_EVENTS if large else USUAL_EVENTS
    outcome = uvloop.run(measure(console, chosen, only, events))
    if is_kept and outcome.all_ran:
        keep_whole(outcome)
    sys.exit(0 if outcome.all_ran else 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    results: list[Result]
    machine: str
    all_ran: bool


def keep_whole(outcome: Outcome) -> None:
    """Keep a run in which nothing was left out.

    Raises:
        ClickException: Something was; it is named.
    """
    found = {result.name for result in outcome.results}
    names = (name for benchmark in BENCHMARKS for name in benchmark.names)
    missing = [name for name in names if name not in found]
    if missing:
        raise click.ClickException(f"not kept, for it leaves out: {', '.join(missing)}")
    keep(outcome.results, outcome.machine)


async def measure(
    console: Console, chosen: list[Benchmark], only: tuple[str, ...], events: int
) -> Outcome:
    """Run the benchmarks one after another and show what came of them."""
    results: list[Result] = []
    all_ran = True
    with open_place(events) as place:
        machine = await place.describe()
        try:
            for benchmark in chosen:
                outcome = await run_one(console, benchmark, place)
                all_ran = all_ran and outcome is not None
                results += outcome or []
        finally:
            wanted = [result for result in results if result.name.startswith(only)]
            console.print(make_table(wanted, machine, kept_figures()))
            write(wanted)
    return Outcome(wanted, machine, all_ran)


async def run_one(console: Console, benchmark: Benchmark, place: Place) -> list[Result] | None:
    """Run one benchmark; None when it failed, nothing when it cannot run here."""
    with console.status(", ".join(benchmark.names)):
        try:
            return await benchmark.run(place)
        except SkippedError as skip:
            console.print(f"{benchmark.names[0]} is left out: {skip}", markup=False)
            return []
        except (BenchmarkError, SidecarError, TimeoutError) as error:
            reason = f"{benchmark.names[0]} failed: {type(error).__name__}: {error}"
            console.print(reason, markup=False)
            return None


def make_table(results: list[Result], machine: str, kept: Mapping[str, float]) -> Table:
    """Lay the results out, with the ratio that the kept run had, or its figure without a peer."""
    table = Table(caption=machine)
    for heading in ("name", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("ours", "peer", "ratio", "kept"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("limit", "holds", "peer is"):
        table.add_column(heading)
    for result in results:
        table.add_row(
            result.name,
            result.unit,
            show(result.pair.ours),
            show(result.pair.peer),
            show(result.pair.ratio),
            show(kept.get(result.name)),
            result.limit.text,
            "yes" if result.holds else "[red]no[/red]",
            result.peer_name or "",
        )
    return table


def write(results: list[Result]) -> None:
    """Write the results for machines."""
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_bytes(encode([as_row(result) for result in results]))


if __name__ == "__main__":
    main()
