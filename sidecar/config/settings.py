"""Every setting with its variable, form, default and meaning, and how they are read."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from typing_extensions import override

from sidecar.config import form
from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.declaration import Declaration, declared
from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.fault import Fault, FaultKind
from sidecar.config.opaque import has_opaque
from sidecar.config.option import DrainReadiness, LogFormat, LogLevel, OnInvalid
from sidecar.config.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """What the process was told; `Settings()` is what an empty environment gives.

    Times are seconds, sizes are connections. Its `repr` shows no more than the report does: a
    secret may have been put into the wrong variable.
    """

    environment: Environment = field(
        default=Environment.DEVELOPMENT,
        metadata=declared(
            "ENVIRONMENT",
            form.choice(Environment, Environment.PRODUCTION),
            "development, test, staging or production; an unknown name counts as production",
        ),
    )
    database_url: Secret | None = field(
        default=None,
        metadata=declared(
            "DATABASE_URL",
            form.database_url("postgresql://shop@db.internal:5432/shop?sslmode=verify-full"),
            "PostgreSQL with the events; unset in development starts the embedded server",
        ),
    )
    secret_key: Secret | None = field(
        default=None,
        metadata=declared(
            "SECRET_KEY",
            form.secret("the output of: sidecar secret"),
            "signing key of the service, 32 characters or more; required in production",
        ),
    )
    gemini_api_key: Secret | None = field(
        default=None,
        metadata=declared(
            "GEMINI_API_KEY",
            form.secret("the key from the provider's console"),
            "AI provider key; any one of the three is enough",
        ),
    )
    anthropic_api_key: Secret | None = field(
        default=None,
        metadata=declared(
            "ANTHROPIC_API_KEY",
            form.secret("the key from the provider's console"),
            "AI provider key; any one of the three is enough",
        ),
    )
    openai_api_key: Secret | None = field(
        default=None,
        metadata=declared(
            "OPENAI_API_KEY",
            form.secret("the key from the provider's console"),
            "AI provider key; any one of the three is enough",
        ),
    )
    cors: CorsPolicy = field(
        default=CorsPolicy(),
        metadata=declared(
            "CORS_ORIGINS",
            form.cors(),
            "origins that browser pages may call from, separated by commas",
        ),
    )
    debug: bool = field(
        default=False,
        metadata=declared(
            "DEBUG",
            form.switch(),
            "debug mode of the service; off in production",
        ),
    )
    enable_docs: bool = field(
        default=True,
        metadata=declared(
            "ENABLE_DOCS",
            form.switch(),
            "whether the service shows its API docs; off in production",
            strict=False,
        ),
    )
    pool_min_size: int = field(
        default=5,
        metadata=declared(
            "DB_POOL_MIN_SIZE",
            form.whole(1, 5),
            "connections that a pool keeps open",
            misfit=FaultKind.POOL,
        ),
    )
    pool_max_size: int = field(
        default=20,
        metadata=declared(
            "DB_POOL_MAX_SIZE",
            form.whole(1, 20),
            "connections that a pool opens at most",
            misfit=FaultKind.POOL,
        ),
    )
    pool_acquire_timeout_seconds: float = field(
        default=10.0,
        metadata=declared(
            "DB_POOL_ACQUIRE_TIMEOUT_SECONDS",
            form.seconds(10.0),
            "longest wait for a connection of the pool",
        ),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=declared(
            "SIDECAR_HOST",
            form.bind_host(),
            "address that the probe process listens on",
        ),
    )
    port: int = field(
        default=8686,
        metadata=declared(
            "SIDECAR_PORT",
            form.port(8686),
            "port that the probe process listens on",
        ),
    )
    token: Secret | None = field(
        default=None,
        metadata=declared(
            "SIDECAR_TOKEN",
            form.secret("the output of: sidecar secret"),
            "opens report, status page and check detail; required in production, made elsewhere",
        ),
    )
    workers: int = field(
        default=1,
        metadata=declared(
            "SIDECAR_WORKERS",
            form.whole(1, 1, maximum=256),
            "worker processes that `sidecar serve` starts",
        ),
    )
    replicas: int = field(
        default=1,
        metadata=declared(
            "SIDECAR_REPLICAS",
            form.whole(1, 2, maximum=10_000),
            "replicas of the service, for adding up its database connections",
        ),
    )
    on_invalid: OnInvalid = field(
        default=OnInvalid.EXIT,
        metadata=declared(
            "SIDECAR_ON_INVALID",
            form.choice(OnInvalid, OnInvalid.EXIT),
            "refused configuration: exit with 78, or hold: stay up, never ready, for the report",
        ),
    )
    drain_delay_seconds: float = field(
        default=0.0,
        metadata=declared(
            "SIDECAR_DRAIN_DELAY_SECONDS",
            form.seconds(5.0),
            "time to keep serving after SIGTERM, for load balancers to notice",
            strict=5.0,
        ),
    )
    drain_readiness: DrainReadiness = field(
        default=DrainReadiness.FAIL,
        metadata=declared(
            "SIDECAR_DRAIN_READINESS",
            form.choice(DrainReadiness, DrainReadiness.FAIL),
            "whether /ready fails at once while draining, or keeps passing",
        ),
    )
    app_url: str | None = field(
        default=None,
        metadata=declared(
            "SIDECAR_APP_URL",
            form.http_url("http://127.0.0.1:8000/health"),
            "address of the application that a check asks",
        ),
    )
    app_agent_urls: tuple[str, ...] = field(
        default=(),
        metadata=declared(
            "SIDECAR_APP_AGENT_URL",
            form.http_urls("http://shop-1:8687,http://shop-2:8687"),
            "addresses of the application's agents on other hosts, separated by commas",
        ),
    )
    agent_directory: Path | None = field(
        default=None,
        metadata=declared(
            "SIDECAR_AGENT_DIR",
            form.path("/run/shop/agents"),
            "where sidecar and application meet; `agents` in SIDECAR_DATA_DIR by default",
        ),
    )
    agent_host: str | None = field(
        default=None,
        metadata=declared(
            "SIDECAR_AGENT_HOST",
            form.bind_host(),
            "address that agents listen on for sidecars elsewhere; 127.0.0.1 if only a port is set",
        ),
    )
    agent_port: int | None = field(
        default=None,
        metadata=declared(
            "SIDECAR_AGENT_PORT",
            form.port(8687),
            "port that agents listen on for sidecars elsewhere; 8687 if only an address is set",
        ),
    )
    worker_hang_seconds: float = field(
        default=10.0,
        metadata=declared(
            "SIDECAR_WORKER_HANG_SECONDS",
            form.seconds(10.0),
            "silence after which a worker is killed and started again",
        ),
    )
    lag_limit_seconds: float = field(
        default=30.0,
        metadata=declared(
            "SIDECAR_LAG_LIMIT_SECONDS",
            form.seconds(30.0),
            "projection lag above which its check warns",
        ),
    )
    park_retry_seconds: float = field(
        default=0.0,
        metadata=declared(
            "SIDECAR_PARK_RETRY_SECONDS",
            form.seconds(0.0),
            "pause after which a parked stream is tried again by itself, doubling; 0: when asked",
        ),
    )
    log_format: LogFormat = field(
        default=LogFormat.AUTO,
        metadata=declared(
            "SIDECAR_LOG_FORMAT",
            form.choice(LogFormat, LogFormat.JSON),
            "json, text, or auto: text on a terminal and json elsewhere",
        ),
    )
    log_level: LogLevel = field(
        default=LogLevel.INFO,
        metadata=declared(
            "SIDECAR_LOG_LEVEL",
            form.choice(LogLevel, LogLevel.INFO),
            "least severe level that is logged",
        ),
    )
    service_name: str = field(
        default="event-sidecar",
        metadata=declared(
            "OTEL_SERVICE_NAME",
            form.name("shop"),
            "name of the service in traces and metrics",
        ),
    )
    auto_migrate: bool = field(
        default=True,
        metadata=declared(
            "SIDECAR_AUTO_MIGRATE",
            form.switch(),
            "whether `serve` and `run` apply missing migrations themselves",
            strict=False,
        ),
    )
    data_directory: Path = field(
        default=Path(".sidecar"),
        metadata=declared(
            "SIDECAR_DATA_DIR",
            form.path(".sidecar"),
            "where the embedded server keeps its data, and the token that is made",
        ),
    )

    @property
    def agents(self) -> Path:
        """Where the agents of an application have their sockets."""
        return self.agent_directory or self.data_directory / "agents"

    @override
    def __repr__(self) -> str:
        shown = (f"{each.field}={each.shown(getattr(self, each.field))}" for each in declarations())
        return f"Settings({', '.join(shown)})"


def declarations() -> tuple[Declaration, ...]:
    """List what is declared about every variable, in the order of docs/reference."""
    return tuple(
        Declaration(field=each.name, default=each.default, **each.metadata)
        for each in fields(Settings)
    )


def cors_policy(environ: Environ) -> CorsPolicy:
    """Give the policy for the service's own web application, from CORS_ORIGINS."""
    settings, _ = load(environ)
    return settings.cors


def load(environ: Environ) -> tuple[Settings, tuple[Fault, ...]]:
    """Read the settings; a value out of form becomes a fault, and its default is used."""
    environment = environ.environment
    faults: list[Fault] = []
    values: dict[str, Any] = {"environment": environment}
    for declaration in declarations():
        if declaration.name == "ENVIRONMENT":
            continue
        try:
            values[declaration.field] = _value(declaration, environ, environment)
        except (ValueError, OverflowError, RuntimeError):
            values[declaration.field] = declaration.default_in(environment)
            if not has_opaque(environ.text(declaration.name)):
                faults.append(_misfit(declaration, environ, environment))
    settings = replace(Settings(), **values)
    bounded, crossed = _bound_pool(settings, environ)
    return bounded, (*faults, *crossed)


def _value(declaration: Declaration, environ: Environ, environment: Environment) -> object:
    variable = environ.get(declaration.name)
    text = environ.text(declaration.name)
    if variable is None or not text:
        return declaration.default_in(environment)
    # Blanks and quotes may belong to a secret; an address with them would only fail to parse.
    is_opaque = declaration.form.show is None and declaration.default is None
    return declaration.form.read(variable.value if is_opaque else text)


def _misfit(declaration: Declaration, environ: Environ, environment: Environment) -> Fault:
    variable = environ.get(declaration.name)
    default = declaration.default_in(environment)
    meanwhile = "it counts as unset" if default is None else "the default is used"
    return Fault(
        declaration.misfit,
        declaration.name,
        f"{declaration.name} is not {declaration.form.expected}; {meanwhile} meanwhile.",
        f"Set it like {declaration.name}={declaration.form.example}, or leave it out.",
        None if variable is None else variable.source,
    )


def _bound_pool(settings: Settings, environ: Environ) -> tuple[Settings, tuple[Fault, ...]]:
    if settings.pool_min_size <= settings.pool_max_size:
        return settings, ()
    # The pool must open with what is left, where a finding does not stop the start.
    bounded = replace(settings, pool_min_size=settings.pool_max_size)
    given = environ.get("DB_POOL_MIN_SIZE") or environ.get("DB_POOL_MAX_SIZE")
    fault = Fault(
        FaultKind.POOL,
        "DB_POOL_MIN_SIZE",
        f"DB_POOL_MIN_SIZE ({settings.pool_min_size}) is above "
        f"DB_POOL_MAX_SIZE ({settings.pool_max_size}).",
        "Raise the maximum or lower the minimum; small 5/20, medium 10/50, large 20/100.",
        None if given is None else given.source,
    )
    return bounded, (fault,)
