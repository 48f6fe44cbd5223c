"""Rules in code at a start: asked here, or in a process of their own."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from sidecar.config.environ import Environ
from sidecar.config.project_rules import ProjectRules
from sidecar.config.severity import Severity
from sidecar.lint import custom_rule
from sidecar.lint.fault_rules import ENV07
from sidecar.lint.finding import Violation

ASK_SECONDS: Final = 10.0


def ask_here(project: ProjectRules, environ: Environ) -> tuple[Violation, ...]:
    """Import the project's rules and ask them; what cannot be asked is a violation itself."""
    rules, faults = custom_rule.load(project.rules)
    return (*faults, *custom_rule.judge(rules, environ))


async def ask_apart(
    project: ProjectRules, environ: Mapping[str, str], *, within_seconds: float = ASK_SECONDS
) -> tuple[Violation, ...]:
    """Have the rules asked by a process of their own, so that none of their code runs here.

    Never raises for what they do. On cancellation, and when the time is over, which includes their
    import, the process is killed. Without rules nothing is started.
    """
    if not project.rules:
        return ()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "own-rules"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        # What user code prints may hold anything.
        stderr=asyncio.subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_seconds):
            said, _ = await process.communicate()
        return msgspec.json.decode(said, type=tuple[Violation, ...])
    except TimeoutError:
        # A machine that is busy for a moment must not keep a service down.
        late = _unasked(project, f"they took longer than {within_seconds:g} s")
        return (replace(late, at_most=Severity.ERROR),)
    except msgspec.DecodeError:
        return (_unasked(project, f"their process ended with status {process.returncode}"),)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _unasked(project: ProjectRules, why: str) -> Violation:
    return Violation(
        ENV07,
        "rules",
        f"The rules {', '.join(project.rules)} could not be asked: {why}.",
        "Run `sidecar check` in the same directory: it asks them, too.",
    )
