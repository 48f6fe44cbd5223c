"""Commands that start processes, and the schema they need."""

import socket

import click

from sidecar.cli.invocation import end_with, finish
from sidecar.demo.stage import perform
from sidecar.process.reaper import leave_a_reaper
from sidecar.telemetry.terminal import say
from sidecar.wiring.admin import migrate_database
from sidecar.wiring.boot import prepare
from sidecar.wiring.run import work
from sidecar.wiring.serve import serve as serve_until_signal


@click.command()
@click.argument("target", required=False)
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes to run.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
def serve(target: str | None, workers: int | None, host: str | None, port: int | None) -> None:
    """Answer probes and run workers for TARGET, `module:publisher`."""
    # Options are checked as the variables of the same name are.
    leave_a_reaper()
    options = {"SIDECAR_WORKERS": workers, "SIDECAR_HOST": host}
    given = {name: str(value) for name, value in options.items() if value is not None}
    boot = prepare("probe", given).with_address(host, port)
    end_with(serve_until_signal(boot, target=target, workers=boot.settings.workers))


@click.command()
@click.argument("target")
@click.option("--supervised-as", hidden=True, help="Name given by `sidecar serve`.")
def run(target: str, supervised_as: str | None) -> None:
    """Run the projections and handlers of TARGET, `module:publisher`."""
    leave_a_reaper()
    boot = prepare(supervised_as or f"worker-{socket.gethostname()}")
    end_with(work(boot, target, supervised=supervised_as is not None))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 1000),
    default=5.0,
    show_default=True,
    help="Orders per second.",
)
@click.option(
    "--poison-every",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds between poison orders; 0 for none.",
)
def demo(port: int | None, rate: float, poison_every: float) -> None:
    """Show the whole product at work on the embedded PostgreSQL."""
    leave_a_reaper()
    end_with(perform(port=port, rate=rate, poison_every_seconds=poison_every))


@click.command()
def migrate() -> None:
    """Apply what is pending of the schema `sidecar`."""
    applied = finish(migrate_database(prepare("migrate", quiet=True)))
    say("\n".join(f"Applied {name}" for name in applied) or "Nothing to apply")
