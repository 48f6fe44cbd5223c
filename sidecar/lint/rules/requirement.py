"""Rules that a project states about its own variables: pairs, patterns, lengths, successors."""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress

from sidecar.config.sidecar_file import compiled
from sidecar.config.text import tidy
from sidecar.lint.finding import ERROR, INFO, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import Checks, RuleContext

USUAL_PAIRS = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),)
_HALVES = (("CLIENT_ID", "CLIENT_SECRET"), ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))

# Names that OpenTelemetry's specification has replaced.
USUAL_SUCCESSORS = {
    "OTEL_EXPORTER_JAEGER_ENDPOINT": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_JAEGER_AGENT_HOST": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_SPAN_INSECURE": "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    "OTEL_EXPORTER_OTLP_METRIC_INSECURE": "OTEL_EXPORTER_OTLP_METRICS_INSECURE",
}

ENV05 = Rule("ENV05", "a variable that is deprecated or no longer read", INFO, WARNING)
ENV08 = Rule("ENV08", "a value that does not match the project's pattern for it")
SEC10 = Rule(
    "SEC10",
    "a key that does not decode to the number of bytes that the project states",
    relaxed=ERROR,
    refs=("NIST SP 800-57 5.6",),
)
SEC12 = Rule(
    "SEC12",
    "half of a pair that is set together or not at all, such as client id and client secret",
)
_HEX = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})+)")
_LONGEST_MATCHED = 4096


def superseded(context: RuleContext) -> Violations:
    """Find variables that have a successor, or none at all."""
    for name, successor in (USUAL_SUCCESSORS | context.project.deprecated).items():
        if name in context.environ:
            hint = f"Set {successor} instead." if successor else "Remove it."
            yield Violation(ENV05, name, f"{name} is deprecated.", hint)


def unmatched(context: RuleContext) -> Violations:
    """Find values out of the project's patterns; unset ones are for `required`."""
    for name, pattern in context.project.pattern.items():
        text, expression = context.environ.text(name), compiled(pattern)
        if text and expression and not expression.fullmatch(text[:_LONGEST_MATCHED]):
            message = f"{name} does not match the pattern in {context.project.file}."
            yield Violation(ENV08, name, message, f"Expected: {pattern}")


def wrong_length(context: RuleContext) -> Violations:
    """Find keys that decode to more or fewer bytes than the cipher takes."""
    for name, expected in context.project.bytes.items():
        if context.environ.text(name) and name not in context.shapes:
            found = byte_lengths(context.environ.text(name))
            if expected not in found:
                said = " or ".join(map(str, sorted(found))) or "no"
                message = f"{name} decodes to {said} bytes; {expected} are expected."
                hint = f"Generate one with: openssl rand -hex {expected}, or -base64 {expected}."
                yield Violation(SEC10, name, message, hint)


def half_pair(context: RuleContext) -> Violations:
    """Find pairs of which one is set and another is not."""
    for pair in dict.fromkeys((*USUAL_PAIRS, *context.project.pairs, *_announced(context))):
        missing = [name for name in pair if context.is_missing(name)]
        if missing and len(missing) < len(pair):
            given = ", ".join(name for name in pair if name not in missing)
            message = f"{missing[0]} is not set, though {given} is."
            yield Violation(SEC12, missing[0], message, "Set both, or neither.")


def byte_lengths(text: str) -> frozenset[int]:
    """Return to how many bytes a key decodes: by hexadecimal, by base64, and as it stands."""
    bare = tidy(text).removeprefix("base64:")
    found = _HEX.fullmatch(bare)
    lengths = {len(found[1]) // 2 if found else len(bare.encode("utf-8", "surrogatepass"))}
    with suppress(ValueError):
        padded = bare.replace("-", "+").replace("_", "/").rstrip("=")
        lengths.add(len(base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)))
    return frozenset(lengths)


def _announced(context: RuleContext) -> Iterator[tuple[str, str]]:
    """Yield pairs of which both names are there, one of them without a value."""
    names = {each.name for each in context.environ}
    for name in names:
        for identity, secret in _HALVES:
            partner = name.removesuffix(identity) + secret
            if name.endswith(f"_{identity}") and partner in names:
                yield name, partner


CHECKS: Checks = (superseded, unmatched, wrong_length, half_pair)
