"""`configuration`: judging a large environment by every rule."""

import secrets
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from typing import Final

from sidecar.config.environ import Environ
from sidecar.lint.linter import validate
from tests.benchmarks.measure import Pair, Result, ours_at_most
from tests.benchmarks.place import Place

VARIABLES: Final = 500
ROUNDS: Final = 30
LIMIT_MS: Final = 20.0


async def run(_place: Place) -> list[Result]:
    """Measure `validate` over variables of which every third holds a secret."""
    environ = Environ.of(_variables())
    now = datetime.now(UTC)
    validate(environ, now=now)  # reads the published digests, once for a process
    milliseconds = [_judge(environ, now) for _ in range(ROUNDS)]
    pair = Pair(median(milliseconds))
    return [Result("configuration", "ms", pair, ours_at_most(LIMIT_MS, "ms"))]


def _judge(environ: Environ, now: datetime) -> float:
    began = time.perf_counter()
    validate(environ, now=now)
    return (time.perf_counter() - began) * 1000


def _variables() -> dict[str, str]:
    usual = {
        "ENVIRONMENT": "production",
        "DATABASE_URL": f"postgresql://shop:{secrets.token_urlsafe(24)}@db.internal/orders"
        "?sslmode=verify-full",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "GEMINI_API_KEY": secrets.token_urlsafe(32),
        "CORS_ORIGINS": "https://app.shop.io",
    }
    kinds: tuple[tuple[str, Callable[[], str]], ...] = (
        ("SERVICE_{}_TOKEN", lambda: secrets.token_hex(32)),
        ("SERVICE_{}_URL", lambda: f"https://service-{secrets.randbelow(99)}.shop.io/v1"),
        ("SERVICE_{}_NAME", lambda: str(uuid.uuid4())),
    )
    others = range(VARIABLES - len(usual))
    made = ((name.format(each), make()) for each in others for name, make in [kinds[each % 3]])
    return usual | dict(made)
