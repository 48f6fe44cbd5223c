"""Commands about the configuration."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from sidecar.cli.printing import FORMAT, print_json
from sidecar.config import environ as environment
from sidecar.config.render import lines, summary
from sidecar.config.secret import generate
from sidecar.config.verdict import validate
from sidecar.wiring.boot import EX_CONFIG


@click.command()
@FORMAT
def check(output: str) -> None:
    """Judge the environment; exit with 78 when a start would be refused."""
    now = datetime.now(UTC)
    verdict = validate(environment.read(), now=now, repository=Path.cwd())
    report = verdict.report(now)
    if output == "json":
        print_json(report.as_dict())
    else:
        for text in (*lines(verdict.findings), summary(report)):
            click.echo(text)
    sys.exit(EX_CONFIG if verdict.refused else 0)


@click.command()
def secret() -> None:
    """Print a good secret."""
    click.echo(generate().reveal())
