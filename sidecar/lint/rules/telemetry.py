"""Rules about `OTEL_*`: what is asked for there, and not offered here."""

from collections.abc import Mapping
from typing import Final

from sidecar.lint.finding import INFO, REFUSE, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import Checks, RuleContext

OPS04 = Rule(
    "OPS04",
    "an `OTEL_*` variable, or a value of one, that the sidecar does not offer",
    WARNING,
    WARNING,
)
EXPORTERS: Final[Mapping[str, frozenset[str]]] = {
    "OTEL_TRACES_EXPORTER": frozenset({"otlp", "none"}),
    # /metrics is there in any case.
    "OTEL_METRICS_EXPORTER": frozenset({"otlp", "none", "prometheus"}),
}
PROTOCOLS: Final = frozenset({"http/protobuf", "grpc"})
SAMPLERS: Final = frozenset(
    f"{parent}{kind}"
    for parent in ("", "parentbased_")
    for kind in ("always_on", "always_off", "traceidratio")
)
_CHOICES: Final[Mapping[str, frozenset[str]]] = {
    **EXPORTERS,
    "OTEL_EXPORTER_OTLP_PROTOCOL": PROTOCOLS,
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": PROTOCOLS,
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": PROTOCOLS,
    "OTEL_TRACES_SAMPLER": SAMPLERS,
}
_LOGS: Final = ("OTEL_EXPORTER_OTLP_LOGS_", "OTEL_BLRP_")
_FILE: Final = (
    "The file of {} is not read; OTEL_* variables are.",
    "Set what it says by variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.",
    REFUSE,
)
_ADDRESS: Final = (
    "{} is not read; /metrics is where SIDECAR_HOST and SIDECAR_PORT say.",
    "Scrape it there.",
    INFO,
)
# The SDK would pass over all variables for a file; at the address only the application may listen.
_UNREAD: Final = {
    "OTEL_CONFIG_FILE": _FILE,
    "OTEL_EXPERIMENTAL_CONFIG_FILE": _FILE,
    "OTEL_EXPORTER_PROMETHEUS_HOST": _ADDRESS,
    "OTEL_EXPORTER_PROMETHEUS_PORT": _ADDRESS,
}


def unread_variable(context: RuleContext) -> Violations:
    """Find a variable that nothing here reads."""
    for name, (message, hint, at_most) in _UNREAD.items():
        if context.environ.text(name):
            yield Violation(OPS04, name, message.format(name), hint, at_most=at_most)


def unknown_choice(context: RuleContext) -> Violations:
    """Find an exporter, protocol or sampler that is not there."""
    for name, offered in _CHOICES.items():
        asked = {one.strip().lower() for one in context.environ.text(name).split(",")} - {""}
        if asked - offered:
            message = f"{name} asks for what the sidecar does not offer; it goes without."
            hint = f"Offered here: {', '.join(sorted(offered))}."
            yield Violation(OPS04, name, message, hint)


def unsent_logs(context: RuleContext) -> Violations:
    """Find logs that are to go to a collector; the application's own may go there all the same."""
    asked = [each.name for each in context.environ if each.name.startswith(_LOGS) and each.value]
    if context.environ.text("OTEL_LOGS_EXPORTER").lower() not in {"", "none"}:
        asked.insert(0, "OTEL_LOGS_EXPORTER")
    for name in asked:
        message = "The sidecar sends no logs by OTLP; it writes them to standard error."
        hint = "Collect them there, with SIDECAR_LOG_FORMAT=json."
        yield Violation(OPS04, name, message, hint, at_most=INFO)


CHECKS: Checks = (unread_variable, unknown_choice, unsent_logs)
