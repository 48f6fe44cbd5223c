"""Every setting with its variable, form, default and meaning, and how they are read."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from sidecar.config import form
from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.declaration import Declaration, setting
from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.fault import Fault, FaultKind
from sidecar.config.opaque import has_opaque
from sidecar.config.option import DrainReadiness, LogFormat, LogLevel, OnInvalid
from sidecar.config.secret import Secret
from sidecar.config.variable import Variable

SCHEMA_VARIABLE: Final = "SIDECAR_SCHEMA"
_AI_KEY = "AI provider key; any one of the three is enough"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The settings of a process; `Settings()` is what an empty environment gives.

    Times are seconds, sizes are connections. Its `repr` shows no more than the report does: a
    secret may have been put into the wrong variable.
    """

    environment: Environment = setting(
        "ENVIRONMENT",
        Environment.DEVELOPMENT,
        "development, test, staging or production; an unknown name counts as production",
        example=Environment.PRODUCTION,
    )
    database_url: Secret | None = setting(
        "DATABASE_URL",
        None,
        "PostgreSQL with the events; unset in development starts the embedded server",
        form.DATABASE_URL,
    )
    schema: str = setting(
        SCHEMA_VARIABLE,
        form.DEFAULT_SCHEMA,
        "schema of the sidecar's tables; another one for each service of a database",
        form.SCHEMA,
    )
    secret_key: Secret | None = setting(
        "SECRET_KEY",
        None,
        "signing key of the service, 32 characters or more; required in production",
        form.SECRET,
    )
    gemini_api_key: Secret | None = setting("GEMINI_API_KEY", None, _AI_KEY, form.API_KEY)
    anthropic_api_key: Secret | None = setting("ANTHROPIC_API_KEY", None, _AI_KEY, form.API_KEY)
    openai_api_key: Secret | None = setting("OPENAI_API_KEY", None, _AI_KEY, form.API_KEY)
    cors: CorsPolicy = setting(
        "CORS_ORIGINS",
        CorsPolicy(),
        "origins that browser pages may call from, separated by commas",
    )
    debug: bool = setting("DEBUG", False, "debug mode of the service; off in production")
    enable_docs: bool = setting(
        "ENABLE_DOCS",
        True,
        "whether the service shows its API docs; off in production",
        strict=False,
    )
    pool_min_size: int = setting(
        "DB_POOL_MIN_SIZE", 5, "connections that a pool keeps open", form.POOL_SIZE
    )
    pool_max_size: int = setting(
        "DB_POOL_MAX_SIZE", 20, "connections that a pool opens at most", form.POOL_SIZE
    )
    pool_acquire_timeout_seconds: float = setting(
        "DB_POOL_ACQUIRE_TIMEOUT_SECONDS", 10.0, "longest wait for a connection of the pool"
    )
    host: str = setting(
        "SIDECAR_HOST", "127.0.0.1", "address that the probe process listens on", form.HOST
    )
    port: int = setting("SIDECAR_PORT", 8686, "port that the probe process listens on", form.PORT)
    token: Secret | None = setting(
        "SIDECAR_TOKEN",
        None,
        "opens report, status page and check detail; required in production, made elsewhere",
        form.SECRET,
    )
    workers: int = setting(
        "SIDECAR_WORKERS",
        1,
        "worker processes that `sidecar serve` starts",
        form.whole(1, maximum=256),
    )
    replicas: int = setting(
        "SIDECAR_REPLICAS",
        1,
        "replicas of the service, for adding up its database connections",
        form.whole(1, maximum=10_000),
        example="2",
    )
    on_invalid: OnInvalid = setting(
        "SIDECAR_ON_INVALID",
        OnInvalid.EXIT,
        "refused configuration: exit with 78, or hold: stay up, never ready, for the report",
    )
    drain_delay_seconds: float = setting(
        "SIDECAR_DRAIN_DELAY_SECONDS",
        0.0,
        "time to keep serving after SIGTERM, for load balancers to notice",
        strict=5.0,
        example="5",
    )
    drain_readiness: DrainReadiness = setting(
        "SIDECAR_DRAIN_READINESS",
        DrainReadiness.FAIL,
        "whether /ready fails at once while draining, or keeps passing",
    )
    app_url: str | None = setting(
        "SIDECAR_APP_URL", None, "address of the application that a check asks", form.HTTP_URL
    )
    app_agent_urls: tuple[str, ...] = setting(
        "SIDECAR_APP_AGENT_URL",
        (),
        "addresses of the application's agents on other hosts, separated by commas",
        form.HTTP_URLS,
    )
    agent_directory: Path | None = setting(
        "SIDECAR_AGENT_DIR",
        None,
        "where sidecar and application meet; `agents` in SIDECAR_DATA_DIR by default",
        form.PATH,
        example="/run/shop/agents",
    )
    agent_host: str | None = setting(
        "SIDECAR_AGENT_HOST",
        None,
        "address that agents listen on for sidecars elsewhere; 127.0.0.1 if only a port is set",
        form.HOST,
    )
    agent_port: int | None = setting(
        "SIDECAR_AGENT_PORT",
        None,
        "port that agents listen on for sidecars elsewhere; 8687 if only an address is set",
        form.PORT,
        example="8687",
    )
    worker_hang_seconds: float = setting(
        "SIDECAR_WORKER_HANG_SECONDS",
        10.0,
        "silence after which a worker is killed and started again",
    )
    lag_limit_seconds: float = setting(
        "SIDECAR_LAG_LIMIT_SECONDS", 30.0, "projection lag above which its check warns"
    )
    park_retry_seconds: float = setting(
        "SIDECAR_PARK_RETRY_SECONDS",
        0.0,
        "pause after which a parked stream is tried again by itself, doubling; 0: when asked",
    )
    dead_letter_days: int = setting(
        "SIDECAR_DEAD_LETTER_DAYS",
        90,
        "days for which a dead letter is kept after it was resolved; 0: for good",
        form.whole(0, maximum=36_500),
    )
    verify_percent: int = setting(
        "SIDECAR_VERIFY_PERCENT",
        0,
        "per cent of a core for verifying read models in the background; 0: when asked",
        form.whole(0, maximum=100),
        example="10",
    )
    log_format: LogFormat = setting(
        "SIDECAR_LOG_FORMAT",
        LogFormat.AUTO,
        "json, text, or auto: text on a terminal and json elsewhere",
        example=LogFormat.JSON,
    )
    log_level: LogLevel = setting(
        "SIDECAR_LOG_LEVEL", LogLevel.INFO, "least severe level that is logged"
    )
    service_name: str = setting(
        "OTEL_SERVICE_NAME", "event-sidecar", "name of the service in traces and metrics", form.NAME
    )
    auto_migrate: bool = setting(
        "SIDECAR_AUTO_MIGRATE",
        True,
        "whether `serve` and `run` apply missing migrations themselves",
        strict=False,
    )
    data_directory: Path = setting(
        "SIDECAR_DATA_DIR",
        Path(".sidecar"),
        "for the embedded server, the token that is made, and what was seen of the log",
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
        replace(each.metadata["declaration"], field=each.name) for each in fields(Settings)
    )


def cors_policy(environ: Environ) -> CorsPolicy:
    """Return the policy for the service's own web application, from CORS_ORIGINS."""
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
        except ValueError:
            values[declaration.field] = default = declaration.default_in(environment)
            if not has_opaque(environ.text(declaration.name)):
                faults.append(_misfit(declaration, environ.get(declaration.name), default))
    settings = replace(Settings(), **values)
    bounded, crossed = _bound_pool(settings, environ)
    return bounded, (*faults, *crossed)


def _value(declaration: Declaration, environ: Environ, environment: Environment) -> object:
    variable = environ.get(declaration.name)
    text = environ.text(declaration.name)
    if variable is None or not text:
        return declaration.default_in(environment)
    # Blanks and quotes may belong to a secret.
    return declaration.form.read(variable.value if declaration.is_secret else text)


def _misfit(declaration: Declaration, variable: Variable | None, default: object) -> Fault:
    meanwhile = "it counts as unset" if default is None else "the default is used"
    name, form = declaration.name, declaration.form
    is_left = form.misfit is not FaultKind.SCHEMA
    follows = f"{meanwhile} meanwhile" if is_left else "no process goes to the database so"
    message = f"{name} is not {form.expected}; {follows}."
    hint = f"Set it like {name}={declaration.example}, or leave it out."
    return Fault(form.misfit, name, message, hint, None if variable is None else variable.source)


def _bound_pool(settings: Settings, environ: Environ) -> tuple[Settings, tuple[Fault, ...]]:
    if settings.pool_min_size <= settings.pool_max_size:
        return settings, ()
    # The pool must open with what is left, where a finding does not stop the start.
    bounded = replace(settings, pool_min_size=settings.pool_max_size)
    least, most = "DB_POOL_MIN_SIZE", "DB_POOL_MAX_SIZE"
    given = environ.get(least) or environ.get(most)
    source = None if given is None else given.source
    message = f"{least} ({settings.pool_min_size}) is above {most} ({settings.pool_max_size})."
    hint = "Raise the maximum or lower the minimum; small 5/20, medium 10/50, large 20/100."
    return bounded, (Fault(FaultKind.POOL, least, message, hint, source),)
