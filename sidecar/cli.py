"""The command line: a thin edge that parses, calls the wiring and turns errors into exit codes."""

import socket
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

import click
import msgspec
import uvloop

import sidecar
from sidecar.config import environ as environment
from sidecar.config.render import lines, summary
from sidecar.config.verdict import validate
from sidecar.demo.stage import perform
from sidecar.errors import SidecarError, UsageError
from sidecar.wiring.admin import migrate_database
from sidecar.wiring.boot import EX_CONFIG, prepare
from sidecar.wiring.serving import serve as serve_until_signal
from sidecar.wiring.working import work

EX_FAILED: Final = 1
EX_USAGE: Final = 2

FORMAT = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)


class SidecarGroup(click.Group):
    """Prints errors of ours as one sentence for a person instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and turn errors into exit codes."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(EX_USAGE)
        except SidecarError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(EX_FAILED)


@click.group(cls=SidecarGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sidecar.__version__, prog_name="sidecar")
def main() -> None:
    """Watch an event-sourced service on PostgreSQL and keep its read models true."""


@main.command()
@click.argument("target", required=False)
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes to run.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
def serve(target: str | None, workers: int | None, host: str | None, port: int | None) -> None:
    """Answer probes and run workers for TARGET, `module:publisher`."""
    boot = prepare("probe").with_address(host, port)
    count = workers or boot.settings.workers
    _run(serve_until_signal(boot, target=target, workers=count))


@main.command()
@click.argument("target")
@click.option("--supervised-as", hidden=True, help="Name given by `sidecar serve`.")
def run(target: str, supervised_as: str | None) -> None:
    """Run the projections and handlers of TARGET, `module:publisher`."""
    boot = prepare(supervised_as or f"worker-{socket.gethostname()}")
    _run(work(boot, target, supervised=supervised_as is not None))


@main.command()
@FORMAT
def check(output: str) -> None:
    """Judge the environment; exit with 78 when a start would be refused."""
    now = datetime.now(UTC)
    verdict = validate(environment.read(), now=now, repository=Path.cwd())
    report = verdict.report(now)
    if output == "json":
        click.echo(msgspec.json.format(report.as_json()))
    else:
        for text in lines(verdict.findings):
            click.echo(text)
        click.echo(summary(report))
    sys.exit(EX_CONFIG if verdict.refused else 0)


@main.command()
def migrate() -> None:
    """Apply what is pending of the schema `sidecar`."""
    applied = uvloop.run(migrate_database(prepare("migrate")))
    click.echo("\n".join(f"Applied {name}" for name in applied) or "Nothing to apply")


@main.command()
@click.option("--bytes", "count", type=click.IntRange(32, 1024), default=48, show_default=True)
def secret(count: int) -> None:
    """Print a good secret."""
    click.echo(token_urlsafe(count))


@main.command()
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
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds between poison orders.",
)
def demo(port: int | None, rate: float, poison_every: float) -> None:
    """Show the whole product at work on the embedded PostgreSQL."""
    _run(perform(port=port, rate=rate, poison_every_seconds=poison_every))


def _run(main_task: Coroutine[object, object, int]) -> None:
    sys.exit(uvloop.run(main_task))
