"""The command line: a thin edge that parses, calls the wiring and turns errors into exit codes."""

import click

from sidecar.cli.configuration import check, own_rules, secret
from sidecar.cli.dead_letters import dead_letters
from sidecar.cli.invocation import SidecarGroup
from sidecar.cli.projections import projections
from sidecar.cli.rebuild_command import rebuild
from sidecar.cli.start import demo, migrate, run, serve
from sidecar.cli.step import step
from sidecar.cli.token import token
from sidecar.cli.verify import verify
from sidecar.config import environ as environment
from sidecar.config.settings import load
from sidecar.postgres.schema import use_schema
from sidecar.telemetry.uncaught import redact_uncaught
from sidecar.version import __version__
from sidecar.wiring.boot import redact_environment

__all__ = ["main"]


@click.group(cls=SidecarGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sidecar")
@click.pass_context
def main(context: click.Context) -> None:
    """Watch an event-sourced service on PostgreSQL and keep its read models true."""
    redact_uncaught(redact_environment())
    settings, _ = load(environment.read())
    context.with_resource(use_schema(settings.schema))


_COMMANDS = (serve, run, check, demo, migrate, projections, dead_letters, secret, token, own_rules)

projections.add_command(rebuild)
projections.add_command(verify)
projections.add_command(step)

for command in _COMMANDS:
    main.add_command(command)
