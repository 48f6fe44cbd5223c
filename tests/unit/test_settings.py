from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.option import DrainReadiness, LogFormat, LogLevel, OnInvalid
from sidecar.config.secret import Secret
from sidecar.config.settings import Settings, declarations, load
from sidecar.lint.fault_rules import violations_of
from sidecar.lint.finding import weigh_all

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure

NAMES = tuple(each.name for each in declarations())


def test_an_empty_environment_gives_the_defaults() -> None:
    settings, faults = load(Environ.of({}))

    assert settings == Settings()
    assert settings.environment is Environment.DEVELOPMENT
    assert (settings.pool_min_size, settings.pool_max_size) == (5, 20)
    assert (settings.host, settings.port) == ("127.0.0.1", 8686)
    assert settings.auto_migrate
    assert settings.drain_delay_seconds == 0.0
    assert not faults


@pytest.mark.parametrize("name", ["production", "Production ", "prodution", "staging", '"staging"'])
def test_strict_environments_have_strict_defaults(name: str) -> None:
    settings, _ = load(Environ.of({"ENVIRONMENT": name}))

    assert settings.environment.is_strict
    assert settings.drain_delay_seconds == 5.0
    assert not settings.auto_migrate
    assert not settings.enable_docs


def test_every_variable_reaches_its_setting() -> None:
    settings, faults = load(
        Environ.of(
            {
                "ENVIRONMENT": "TEST",
                "DATABASE_URL": "postgresql:///d",
                "SECRET_KEY": " kept as it is ",
                "CORS_ORIGINS": "https://a.io",
                "DEBUG": "Yes",
                "ENABLE_DOCS": "0",
                "DB_POOL_MIN_SIZE": "'2'",
                "DB_POOL_MAX_SIZE": " 7 ",
                "DB_POOL_ACQUIRE_TIMEOUT_SECONDS": "2.5",
                "SIDECAR_HOST": "0.0.0.0",
                "SIDECAR_ON_INVALID": "HOLD",
                "SIDECAR_DRAIN_READINESS": "keep",
                "SIDECAR_APP_URL": "http://app:8000/health",
                "SIDECAR_LOG_FORMAT": "json",
                "SIDECAR_LOG_LEVEL": "debug",
                "OTEL_SERVICE_NAME": "shop",
                "SIDECAR_AUTO_MIGRATE": "off",
                "SIDECAR_DATA_DIR": "/var/lib/sidecar",
            }
        )
    )

    assert not faults
    assert settings == Settings(
        environment=Environment.TEST,
        database_url=Secret("postgresql:///d"),
        secret_key=Secret(" kept as it is "),
        cors=settings.cors,
        debug=True,
        enable_docs=False,
        pool_min_size=2,
        pool_max_size=7,
        pool_acquire_timeout_seconds=2.5,
        host="0.0.0.0",
        on_invalid=OnInvalid.HOLD,
        drain_readiness=DrainReadiness.KEEP,
        app_url="http://app:8000/health",
        log_format=LogFormat.JSON,
        log_level=LogLevel.DEBUG,
        service_name="shop",
        auto_migrate=False,
        data_directory=Path("/var/lib/sidecar"),
    )
    assert settings.cors.origins == ("https://a.io",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIDECAR_PORT", "http"),
        ("SIDECAR_PORT", "65536"),
        ("SIDECAR_PORT", "-1"),
        ("SIDECAR_PORT", "8_0"),
        ("SIDECAR_PORT", "9" * 5000),
        ("SIDECAR_WORKERS", "0"),
        ("SIDECAR_WORKERS", "1000 * 60"),
        ("SIDECAR_LAG_LIMIT_SECONDS", "nan"),
        ("SIDECAR_LAG_LIMIT_SECONDS", "inf"),
        ("SIDECAR_LAG_LIMIT_SECONDS", "-1"),
        ("SIDECAR_LAG_LIMIT_SECONDS", "1e999"),
        ("DEBUG", "maybe"),
        ("SIDECAR_LOG_LEVEL", "LOUD"),
        ("SIDECAR_HOST", "a host"),
        ("SIDECAR_APP_URL", "app:8000"),
        ("SIDECAR_APP_URL", "http://user:pass@app"),
        ("SIDECAR_APP_URL", "http://app:port"),
        ("CORS_ORIGINS", "https://a.io, b.io"),
        ("OTEL_SERVICE_NAME", "a\x00b"),
        ("SIDECAR_DATA_DIR", "a\x00b"),
        ("SIDECAR_DATA_DIR", "~nosuchuser/data"),
    ],
)
def test_a_value_out_of_form_is_told_and_the_default_is_used(name: str, value: str) -> None:
    settings, faults = load(Environ.of({name: value, "ENVIRONMENT": "production"}))
    defaults, _ = load(Environ.of({"ENVIRONMENT": "production"}))

    assert settings == defaults
    [finding] = weigh_all(violations_of(faults), settings.environment)
    assert (finding.id, finding.field, finding.severity) == ("ENV04", name, "refuse")
    assert value not in finding.message


@pytest.mark.parametrize(
    ("values", "sizes"),
    [
        ({"DB_POOL_MIN_SIZE": "30"}, (20, 20)),
        ({"DB_POOL_MIN_SIZE": "0"}, (5, 20)),
        ({"DB_POOL_MAX_SIZE": "-3"}, (5, 20)),
        ({"DB_POOL_MAX_SIZE": "2"}, (2, 2)),
        ({"DB_POOL_MIN_SIZE": "ten"}, (5, 20)),
    ],
)
def test_pool_bounds_that_cannot_hold_leave_bounds_that_do(
    values: dict[str, str], sizes: tuple[int, int]
) -> None:
    settings, faults = load(Environ.of(values))

    assert (settings.pool_min_size, settings.pool_max_size) == sizes
    [finding] = weigh_all(violations_of(faults), settings.environment)
    assert (finding.id, finding.severity) == ("DB07", "error")


def test_every_field_is_declared_once() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(fields(Settings))


@unhurried
@given(st.dictionaries(st.sampled_from(NAMES), st.text()))
def test_loading_never_raises_and_the_pool_can_always_open(values: dict[str, str]) -> None:
    settings, _ = load(Environ.of(values))

    assert 1 <= settings.pool_min_size <= settings.pool_max_size
