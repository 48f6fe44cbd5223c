"""Rules about how good a real secret is."""

import base64
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from sidecar.config.environment import Environment
from sidecar.config.settings import declarations
from sidecar.lint.finding import INFO, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import Checks, RuleContext
from sidecar.lint.rules.secrets import GENERATE

SIGNING_KEYS = ("SECRET_KEY", "SIDECAR_TOKEN")
SHORTEST = 32
DJANGO_SHORTEST = 50
FEWEST_DISTINCT = 8
# Of 20,000 draws each, openssl rand -hex 16 was never below 2.9 and base64 never below 3.9.
LOWEST_BITS_HEX = 2.75
LOWEST_BITS = 3.2

SEC05 = Rule(
    "SEC05", "a signing key of fewer than 32 characters", refs=("OWASP ASVS 6.2", "CWE-326")
)
SEC06 = Rule(
    "SEC06",
    "a signing key of 32 to 49 characters, where Django asks for 50",
    None,
    INFO,
    ("Django security.W009",),
)
SEC07 = Rule(
    "SEC07",
    "a signing key with few distinct characters or little entropy",
    refs=("OWASP ASVS 6.3", "CWE-331"),
)
SEC08 = Rule(
    "SEC08",
    "a secret that calls itself insecure or one for development or test",
    relaxed=INFO,
    refs=("Django security.W009",),
)
SEC09 = Rule("SEC09", "one value used for two secrets", refs=("NIST SP 800-57 5.2",))
SEC13 = Rule(
    "SEC13",
    "a provider's key in another provider's variable, or in production a key for test mode",
    INFO,
    WARNING,
)
SEC14 = Rule("SEC14", "a token (JWT) that has expired or was issued for a demo")

_HEX = re.compile(r"[0-9a-fA-F-]+")
_SELF_DECLARED = re.compile(
    r"(?:django-insecure|dev|development|test|testing|local|demo|staging)[-_]|"
    r"(?:.*[-_])?(?:insecure|unsafe|not[-_]for[-_]production)(?:[-_].*)?",
    re.IGNORECASE,
)
_TEST_MODE = re.compile(r"(?:sk|rk|pk)_test_")
_JWT = re.compile(r"eyJ[\w-]{5,}\.(eyJ[\w-]{5,})\.[\w-]*")
# The longest first, since `sk-` begins `sk-ant-`.
_PREFIXES = {"ANTHROPIC_API_KEY": "sk-ant-", "GEMINI_API_KEY": "AIza", "OPENAI_API_KEY": "sk-"}


def short_key(context: RuleContext) -> Violations:
    """Find signing keys that can be guessed, or that others would call short."""
    for name, value in _signing_keys(context):
        if len(value) < SHORTEST:
            message = f"{name} is shorter than {SHORTEST} characters."
            yield Violation(SEC05, name, message, GENERATE)
        elif len(value) < DJANGO_SHORTEST:
            message = f"{name} has fewer than {DJANGO_SHORTEST} characters, as Django asks for."
            yield Violation(SEC06, name, message, "Fine for random text; longer is free.")


def monotonous_key(context: RuleContext) -> Violations:
    """Find signing keys that are long but not random."""
    for name, value in _signing_keys(context):
        lowest = LOWEST_BITS_HEX if _HEX.fullmatch(value) else LOWEST_BITS
        if len(value) >= SHORTEST and (
            len(set(value)) < FEWEST_DISTINCT or entropy_bits(value) < lowest
        ):
            yield Violation(
                SEC07, name, f"{name} repeats few characters; it does not look random.", GENERATE
            )


def self_declared(context: RuleContext) -> Violations:
    """Find secrets whose own prefix says where they belong."""
    for variable in context.real_secrets():
        if _SELF_DECLARED.match(variable.value):
            message = f"{variable.name} says by its prefix that it is not for production."
            yield Violation(SEC08, variable.name, message, GENERATE)


def shared_value(context: RuleContext) -> Violations:
    """Find one value under two names, where one of them is ours.

    Other tools have aliases of one secret on purpose, such as PGPASSWORD.
    """
    declared = {each.name for each in declarations()}
    names_by_value: defaultdict[str, list[str]] = defaultdict(list)
    for variable in context.real_secrets():
        names_by_value[variable.value].append(variable.name)
    for names in names_by_value.values():
        if len(names) > 1 and not declared.isdisjoint(names):
            first, *others = sorted(names, key=lambda name: (name not in declared, name))
            message = f"{first} has the same value as {', '.join(others)}."
            yield Violation(SEC09, first, message, f"Give each its own. {GENERATE}")


def wrong_slot(context: RuleContext) -> Violations:
    """Find keys by whose prefix another provider, or in production a test mode, is recognised.

    Everywhere else a key for test mode is the right one: no test may charge a card.
    """
    is_live = context.settings.environment is Environment.PRODUCTION
    for variable in context.real_secrets():
        owner = _owner(variable.value)
        if variable.name in _PREFIXES and owner not in {None, variable.name}:
            message = f"{variable.name} holds a key that looks like one for {owner}."
            hint = f"Keys for it begin with {_PREFIXES[variable.name]}; move this one to {owner}."
            yield Violation(SEC13, variable.name, message, hint)
        elif is_live and _TEST_MODE.match(variable.value):
            message = f"{variable.name} holds a key for test mode."
            yield Violation(SEC13, variable.name, message, "Set the live key.")


def stale_token(context: RuleContext) -> Violations:
    """Find tokens that have expired, or that are published."""
    for variable in context.real_secrets():
        claims = jwt_claims(variable.value)
        expires_at = expiry(claims)
        if expires_at is not None and expires_at < context.now:
            message = f"{variable.name} holds a token that expired on {expires_at:%Y-%m-%d}."
            yield Violation(SEC14, variable.name, message, "Have a new one issued.")
        elif claims.get("iss") == "supabase-demo":
            message = f"{variable.name} holds the token that Supabase publishes for its demo."
            yield Violation(SEC14, variable.name, message, "Have your own issued.")


def entropy_bits(value: str) -> float:
    """Return Shannon's entropy per character, in bits."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


def jwt_claims(value: str) -> dict[str, Any]:
    """Read a token's claims without judging its signature; empty when it is no token."""
    found = _JWT.fullmatch(value)
    if found is None:
        return {}
    payload = found.group(1)
    try:
        text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, msgspec.DecodeError):
        return {}


def expiry(claims: dict[str, Any]) -> datetime | None:
    """Return when a token expires; `None` when it never does or does not say so in seconds."""
    seconds = claims.get("exp")
    if not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _signing_keys(context: RuleContext) -> Iterator[tuple[str, str]]:
    for variable in context.real_secrets():
        if variable.name in SIGNING_KEYS:
            yield variable.name, variable.value


def _owner(value: str) -> str | None:
    """Return whose key it is by its prefix."""
    return next((name for name, start in _PREFIXES.items() if value.startswith(start)), None)


CHECKS: Checks = (short_key, monotonous_key, self_declared, shared_value, wrong_slot, stale_token)
