"""Names that gave way to the field's words do not come back as a module, class or function."""

import ast
from collections.abc import Mapping
from pathlib import Path

from tests.markdown import ROOT, name_of

# Anywhere; with the word that took its place.
MODULES = {
    "adopted": "instrumented_pool",
    "containment": "failure",
    "facts": "rule_context",
    "foreign": "instrumented_publisher",
    "heap": "gc",
    "hush": "log_filter",
    "inquiry": "check_runner",
    "lending": "pool_usage",
    "letter": "dead_letter",
    "own": "probe_process",
    "own_rule": "custom_rule",
    "own_rules": "custom_rules",
    "pace": "worker",
    "publishing": "publisher_metrics",
    "pulse": "loop_lag",
    "retrial": "dead_letter_retry",
    "roster": "checks",
    "running": "projection_metrics",
    "scene": "observed",
    "serving": "serve",
    "share": "assignment",
    "standing": "status",
    "told": "heartbeat",
    "transience": "transient",
    "trouble": "failure",
    "vigil": "liveness",
    "wake": "notify",
    "watching": "probe_metrics",
    "working": "run",
}
# In one room, where another means something else by it.
FILES = {
    "sidecar/health/board.py",
    "sidecar/health/watch.py",
    "sidecar/postgres/head.py",
    "sidecar/postgres/identity.py",
    "sidecar/process/listener.py",
    "sidecar/projections/head.py",
    "sidecar/projections/signal.py",
    "sidecar/projections/work.py",
    "sidecar/telemetry/family.py",
    "sidecar/telemetry/loss.py",
    "sidecar/telemetry/reading.py",
    "sidecar/wiring/probe.py",
    "sidecar/wiring/worker.py",
}
CLASSES = {
    "AgentListener": "AgentPoller",
    "Borrowing": "AcquireContext",
    "Containment": "FailureHandler",
    "Desk": "ProjectionStore",
    "Facts": "RuleContext",
    "Glimpse": "LogScan",
    "Hold": "GapHold",
    "Hush": "log filter",
    "Lending": "PoolUsage",
    "Loan": "Checkout",
    "Look": "Check",
    "Lot": "RetryOutcome",
    "PoolTold": "Heartbeat",
    "PostgresDesk": "PostgresProjectionStore",
    "PostgresWork": "PostgresTransaction",
    "Pulse": "LoopLagMonitor",
    "RebuildDesk": "ProjectionStore",
    "Retrial": "RetryOutcome",
    "Retrials": "DeadLetterRetrier",
    "Roster": "DynamicChecks",
    "Scene": "ObservedState",
    "Sighting": "Violation",
    "Standing": "ProjectionStatus",
    "Work": "ProjectionTransaction",
}
FUNCTIONS = {
    "is_disproved": "is_dead",
    "plan_share": "assign_partitions",
    "pools_told": "Heartbeat",
    "settle_heap": "freeze_gc",
    "stand": "fold_status",
}


# Rules in code of projects import it under this name.
KEPT = {"sidecar/config/own_rule.py"}


def files() -> list[Path]:
    found = [*(ROOT / "sidecar").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    return sorted(path for path in found if name_of(path) not in KEPT)


def defined(*kinds: type[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]) -> list[str]:
    """Return every name that is defined so, behind the file that it is in."""
    return [
        f"{name_of(path)} {node.name}"
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, kinds)
    ]


def retired(names: list[str], words: Mapping[str, str]) -> list[str]:
    return [each for each in names if each.rpartition(" ")[2] in words]


def test_no_module_has_a_retired_name() -> None:
    modules = [f"{name_of(path)} {path.stem.removeprefix('test_')}" for path in files()]

    assert retired(modules, MODULES) == []
    assert [name for name in sorted(FILES) if (ROOT / name).exists()] == []


def test_no_class_has_a_retired_name() -> None:
    assert retired(defined(ast.ClassDef), CLASSES) == []


def test_no_function_has_a_retired_name() -> None:
    assert retired(defined(ast.FunctionDef, ast.AsyncFunctionDef), FUNCTIONS) == []
