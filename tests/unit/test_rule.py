import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.json import encode

from sidecar.config.environ import Environ
from sidecar.config.secret import generate
from sidecar.config.settings import declarations
from sidecar.config.severity import Severity
from sidecar.lint.linter import Verdict, validate
from sidecar.lint.rules import RULES
from sidecar.lint.rules.quality import entropy_bits, expiry, jwt_claims

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSWORD = "Zr4tQ9wLk2Vn7Xc1"
URL = f"postgresql://shop:{PASSWORD}@db.internal:5432/orders"
GOOD = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": f"{URL}?sslmode=verify-full&sslrootcert={__file__}",
    "SECRET_KEY": "9f2c7d41b8e603a5c4d7f1928e6b3a50d1c8e47f2b96a3051e7d8c4f6a2b9035",
    "GEMINI_API_KEY": "AIzaSyD3x9kQw7Rt2Vb5Nm8Lp1Zc4Xs6Yh0Jf_",
    "SIDECAR_TOKEN": "Qm7Xv2Lr9TzWb4NcYd1KfGs6JpEu0AHh3oPiRtUwVx5ZyBnMkLqS",
    "CORS_ORIGINS": "https://app.shop.io,https://admin.shop.io",
    "DEBUG": "false",
    "ENABLE_DOCS": "false",
    "DB_POOL_MIN_SIZE": "10",
    "DB_POOL_MAX_SIZE": "50",
}
PUBLISHED = hashlib.sha256(b"password").hexdigest()  # itself used as a key, and known
PEM = f"-----BEGIN PRIVATE KEY-----\n{PUBLISHED}\n-----END PRIVATE KEY-----\n"
EXPIRED = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl"  # exp 1700000000, in 2023
DEMO = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIn0.c2lnbmF0dXJl"


def judge(**values: str) -> Verdict:
    return validate(Environ.of(values), now=NOW)


def found(verdict: Verdict) -> list[tuple[str, str, str]]:
    return [(each.id, each.field, each.severity.value) for each in verdict.findings]


FIRING = [
    ("ENV01", "ENVIRONMENT", {"ENVIRONMENT": "prodution"}),
    ("ENV02", "DB_POOL_MAXSIZE", {"DB_POOL_MAX_SIZE": "", "DB_POOL_MAXSIZE": "9"}),
    ("ENV02", "SIDECAR_NONSENSE", {"SIDECAR_NONSENSE": "1"}),
    ("ENV03", "SECRET_KEY", {"SECRET_KEY": f'"{GOOD["SECRET_KEY"]}"'}),
    ("ENV03", "SECRET_KEY", {"SECRET_KEY": f"{GOOD['SECRET_KEY']}\r"}),
    ("ENV03", "SECRET_KEY", {"SECRET_KEY": f"\ufeff{GOOD['SECRET_KEY']}"}),
    ("ENV03", "SECRET_KEY", {"SECRET_KEY": f"{GOOD['SECRET_KEY']}\x00"}),
    ("ENV03", "SECRET_KEY", {"SECRET_KEY": f"{GOOD['SECRET_KEY']}\udcff"}),
    ("ENV03", "SECRET_KEY", {"SECRET_KEY": f"{GOOD['SECRET_KEY']} # signing"}),
    ("ENV03", "DATABASE_URL", {"DATABASE_URL": "postgresql://${PGUSER}@db.internal/orders"}),
    ("ENV03", "DEBUG", {"DEBUG": "false "}),
    ("ENV03", "JWT_PRIVATE_KEY", {"JWT_PRIVATE_KEY": f"{PEM}\n"}),
    ("ENV03", "SECRET_KEY", {"SECRET_KEY": f"{GOOD['SECRET_KEY']}\n"}),
    ("ENV04", "SIDECAR_PORT", {"SIDECAR_PORT": "web"}),
    ("SEC01", "SECRET_KEY", {"SECRET_KEY": "  "}),
    ("SEC02", "GEMINI_API_KEY", {"GEMINI_API_KEY": "your-api-key-here"}),
    ("SEC02", "STRIPE_SECRET_KEY", {"STRIPE_SECRET_KEY": "changeme"}),
    ("SEC02", "REDIS_URL", {"REDIS_URL": "redis://:changeme@cache:6379/0"}),
    ("SEC02", "MONGO_URL", {"MONGO_URL": "mongodb://root:example@mongo:27017/shop"}),
    ("SEC02", "SHOP_PASSWORD", {"SHOP_USER": "warehouse7", "SHOP_PASSWORD": "warehouse7"}),
    ("SEC02", "JIRA_PROJECT_KEY", {"JIRA_PROJECT_KEY": "your-project-key"}),
    ("SEC02", "CSRF_TOKEN", {"CSRF_TOKEN": "changeme"}),
    ("SEC02", "SHOP_PASSWORD", {"SHOP_PASSWORD": "elephant"}),
    ("SEC02", "OPENSSL_KEY_V1", {"OPENSSL_KEY_V1": "your-key"}),
    ("SEC02", "MAIL_LOGIN", {"MAIL_LOGIN": "your-api-key-here"}),
    ("SEC04", "S3_SECRET_KEY", {"S3_SECRET_KEY": PUBLISHED}),
    ("SEC04", "CIPHER_IV", {"CIPHER_IV": PUBLISHED}),
    ("SEC05", "SECRET_KEY", {"SECRET_KEY": GOOD["SECRET_KEY"][:31]}),
    ("SEC06", "SECRET_KEY", {"SECRET_KEY": GOOD["SECRET_KEY"][:32]}),
    ("SEC07", "SECRET_KEY", {"SECRET_KEY": "kq9kq7kqkq97kq9qk7kq97kqk9q7kqk9"}),
    ("SEC08", "SECRET_KEY", {"SECRET_KEY": f"django-insecure-{GOOD['SECRET_KEY']}"}),
    ("SEC08", "OTHER_TOKEN", {"OTHER_TOKEN": f"{PASSWORD}-insecure-{PASSWORD}"}),
    ("SEC12", "AWS_SECRET_ACCESS_KEY", {"AWS_ACCESS_KEY_ID": "AKIA7QXW3NB5RT2KD9PZ"}),
    ("SEC12", "OIDC_CLIENT_ID", {"OIDC_CLIENT_ID": "", "OIDC_CLIENT_SECRET": PASSWORD}),
    ("SEC09", "SECRET_KEY", {"OTHER_TOKEN": GOOD["SECRET_KEY"]}),
    ("SEC11", "GEMINI_API_KEY", {"GEMINI_API_KEY": ""}),
    ("SEC13", "OPENAI_API_KEY", {"OPENAI_API_KEY": "sk-ant-api03-7Hq2mXv9Lr4TzWb8NcYd1"}),
    ("SEC13", "STRIPE_KEY", {"STRIPE_KEY": "sk_test_51H8s9dKj3Lm2Qw7Er5Ty9Ui"}),
    ("SEC14", "SERVICE_TOKEN", {"SERVICE_TOKEN": EXPIRED}),
    ("SEC14", "SERVICE_TOKEN", {"SERVICE_TOKEN": DEMO}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": ""}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=required"}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode"}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": URL.replace("shop:", "shop@azure:")}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": f"{URL}&password={PASSWORD}"}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": f"{URL}%3Fpassword={PASSWORD}"}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": f"postgresql://shop%3A{PASSWORD}%40db.shop.io/o"}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": "mysql://shop@db.internal/orders"}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": "postgresql+asyncpg://shop@db.internal/orders"}),
    ("SEC02", "DATABASE_URL", {"DATABASE_URL": "postgresql://user:password@host:port/dbname"}),
    ("SEC02", "DATABASE_URL", {"DATABASE_URL": "postgresql://shop:x7@db.example.com/orders"}),
    ("SEC02", "DATABASE_URL", {"DATABASE_URL": "postgres://shop:<password>@db.internal/orders"}),
    ("SEC02", "DATABASE_URL", {"DATABASE_URL": "your-database-url"}),
    ("DB02", "DATABASE_URL", {"DATABASE_URL": "postgresql://shop:shop@db.internal/orders"}),
    ("DB02", "DATABASE_URL", {"DATABASE_URL": "postgresql://postgres:postgres@db.internal/orders"}),
    ("DB03", "DATABASE_URL", {"DATABASE_URL": f"postgresql://postgres:{PASSWORD}@db.internal/o"}),
    ("DB04", "DATABASE_URL", {"DATABASE_URL": f"postgresql://shop:{PASSWORD}@localhost/orders"}),
    ("DB05", "DATABASE_URL", {"DATABASE_URL": URL}),
    ("DB05", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=prefer"}),
    ("DB05", "DATABASE_URL", {"DATABASE_URL": f"{URL}?ssl=true"}),
    ("DB05", "DATABASE_URL", {"DATABASE_URL": URL, "PGSSLMODE": "allow"}),
    ("DB01", "DATABASE_URL", {"DATABASE_URL": URL, "PGSSLMODE": "required"}),
    ("DB05", "DATABASE_URL", {"DATABASE_URL": URL.replace("@", "@localhost,")}),
    ("DB05", "DATABASE_URL", {"DATABASE_URL": "postgresql:///orders", "PGHOST": "db.shop.io"}),
    ("DB06", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=require"}),
    ("DB07", "DB_POOL_MIN_SIZE", {"DB_POOL_MIN_SIZE": "60"}),
    ("DB07", "DB_POOL_MAX_SIZE", {"DB_POOL_MAX_SIZE": "0"}),
    ("DB19", "SIDECAR_SCHEMA", {"SIDECAR_SCHEMA": "public"}),
    ("DB19", "SIDECAR_SCHEMA", {"SIDECAR_SCHEMA": 'a"; DROP SCHEMA sidecar'}),
    ("DB09", "DB_POOL_MIN_SIZE", {"DB_POOL_MIN_SIZE": "", "DB_POOL_MAX_SIZE": ""}),
    (
        "DB11",
        "DB_POOL_ACQUIRE_TIMEOUT_SECONDS",
        {"DB_POOL_ACQUIRE_TIMEOUT_SECONDS": "30"},
    ),
    ("DB12", "DATABASE_URL", {"DATABASE_URL": URL.replace("5432", "6543")}),
    ("DB12", "DATABASE_URL", {"DATABASE_URL": f"{URL}?pgbouncer=true"}),
    ("DB13", "DATABASE_URL", {"DATABASE_URL": f"{URL}_test"}),
    ("DB13", "DATABASE_URL", {"DATABASE_URL": URL.replace("db.internal", "dev-db.shop.io")}),
    ("DB17", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=require&channel_binding=require"}),
    ("DB17", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=require&connect_timeout=10"}),
    ("DB17", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=require&target_session_attrs=rw"}),
    ("DB17", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=require&max_connections=9"}),
    ("DB18", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=verify-full"}),
    ("DB18", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=verify-ca&sslrootcert=/no/ca.pem"}),
    ("DB18", "DATABASE_URL", {"DATABASE_URL": f"{URL}?sslmode=verify-full&sslrootcert=system"}),
    ("DB15", "DB_POOL_MAX_SIZE", {"DB_POOL_MIN_SIZE": "2", "DB_POOL_MAX_SIZE": "4"}),
    ("DB15", "DB_POOL_MIN_SIZE", {"DB_POOL_MIN_SIZE": "1"}),
    ("APP01", "DEBUG", {"DEBUG": "on"}),
    ("APP01", "SIDECAR_LOG_LEVEL", {"SIDECAR_LOG_LEVEL": "debug"}),
    ("APP02", "ENABLE_DOCS", {"ENABLE_DOCS": "true"}),
    ("APP03", "CORS_ORIGINS", {"CORS_ORIGINS": "http://localhost:3000,*"}),
    ("APP04", "CORS_ORIGINS", {"CORS_ORIGINS": "https://app.example.com"}),
    ("APP04", "CORS_ORIGINS", {"CORS_ORIGINS": "http://localhost:3000"}),
    ("APP04", "CORS_ORIGINS", {"CORS_ORIGINS": ""}),
    ("APP05", "DJANGO_ALLOWED_HOSTS", {"DJANGO_ALLOWED_HOSTS": "shop.io,*"}),
    ("APP05", "ALLOWED_HOSTS", {"ALLOWED_HOSTS": ""}),
    ("APP06", "SESSION_COOKIE_SECURE", {"SESSION_COOKIE_SECURE": "False"}),
    ("APP06", "NODE_TLS_REJECT_UNAUTHORIZED", {"NODE_TLS_REJECT_UNAUTHORIZED": "0"}),
    ("APP06", "S3_TLS_SKIP_VERIFY", {"S3_TLS_SKIP_VERIFY": "true"}),
    ("APP06", "REDIS_SSL_CERT_REQS", {"REDIS_SSL_CERT_REQS": "CERT_NONE"}),
    ("APP07", "FIRST_SUPERUSER_PASSWORD", {"FIRST_SUPERUSER_PASSWORD": "changethis"}),
    ("APP07", "GF_SECURITY_ADMIN_PASSWORD", {"GF_SECURITY_ADMIN_PASSWORD": "admin"}),
    ("ENV05", "OTEL_EXPORTER_JAEGER_ENDPOINT", {"OTEL_EXPORTER_JAEGER_ENDPOINT": "http://j"}),
    ("OPS01", "SIDECAR_TOKEN", {"SIDECAR_HOST": "0.0.0.0", "SIDECAR_TOKEN": ""}),
    ("OPS02", "SIDECAR_DRAIN_DELAY_SECONDS", {"SIDECAR_DRAIN_DELAY_SECONDS": "26"}),
    ("OPS03", "SIDECAR_WORKER_HANG_SECONDS", {"SIDECAR_WORKER_HANG_SECONDS": "1.5"}),
    ("OPS03", "SIDECAR_LAG_LIMIT_SECONDS", {"SIDECAR_LAG_LIMIT_SECONDS": "0"}),
    ("OPS05", "SIDECAR_AGENT_HOST", {"SIDECAR_AGENT_HOST": "0.0.0.0"}),
    ("OPS05", "SIDECAR_AGENT_HOST", {"SIDECAR_AGENT_HOST": "::"}),
    ("OPS04", "OTEL_CONFIG_FILE", {"OTEL_CONFIG_FILE": "/etc/otel.yaml"}),
    ("OPS04", "OTEL_TRACES_EXPORTER", {"OTEL_TRACES_EXPORTER": "otlp, console"}),
    ("OPS04", "OTEL_METRICS_EXPORTER", {"OTEL_METRICS_EXPORTER": "console"}),
    ("OPS04", "OTEL_LOGS_EXPORTER", {"OTEL_LOGS_EXPORTER": "otlp"}),
    (
        "OPS04",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://collector:4318/v1/logs"},
    ),
    ("OPS04", "OTEL_EXPORTER_OTLP_PROTOCOL", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}),
    ("OPS04", "OTEL_TRACES_SAMPLER", {"OTEL_TRACES_SAMPLER": "jaeger_remote"}),
    ("OPS04", "OTEL_EXPORTER_PROMETHEUS_PORT", {"OTEL_EXPORTER_PROMETHEUS_PORT": "9464"}),
]
FROM_FILES = {"ENV09", "ENV06", "ENV07", "ENV08", "SEC03", "SEC10"}
FROM_SERVER = {"DB08", "DB10", "DB14", "DB16"}
QUIET = [
    ("ENV01", {"ENVIRONMENT": "staging"}),
    ("ENV01", {"ENVIRONMENT": "Prod"}),
    ("ENV01", {"ENVIRONMENT": "stage"}),
    ("ENV02", {"DB_POOL_TIMEOUT": "9"}),
    ("ENV03", {"SECRET_KEY": GOOD["SECRET_KEY"] + "$x#y"}),
    ("ENV03", {"JWT_PRIVATE_KEY": PEM}),
    ("ENV03", {"GOOGLE_CREDENTIALS": '{"type": "service_account"}\n'}),
    ("ENV04", {"SIDECAR_PORT": "65535"}),
    ("ENV04", {"CORS_ORIGINS": '["https://shop.io", "capacitor://localhost"]'}),
    ("ENV05", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}),
    ("SEC01", {"SECRET_KEY": PASSWORD * 3}),
    ("SEC02", {"STRIPE_SECRET_KEY": "sk_live_51H8s9dKj3Lm2Qw7Er5Ty9Ui"}),
    ("SEC02", {"REDIS_URL": f"redis://shop:{PASSWORD}@cache:6379/0"}),
    ("SEC02", {"TLS_KEY": "/certs/redis.key", "MYSQL_ALLOW_EMPTY_PASSWORD": "no"}),
    ("SEC02", {"CSRF_TOKEN_NAME": "X-CSRF-Token", "MAX_TOKENS": "512", "SORT_KEY": "name"}),
    ("SEC02", {"SMTP_USER": "AKIA5QZJ7XN2WPLK4MTR", "MAIL_LOGIN": "AKIA5QZJ7XN2WPLK4MTR"}),
    ("SEC02", {"EOS_TOKEN": "</s>", "PAD_TOKEN": "<pad>", "MASK_TOKEN": "[MASK]"}),
    ("SEC02", {"JIRA_PROJECT_KEY": "SHOP", "FEATURE_KEY": "checkout", "S3_KEY": "uploads"}),
    ("SEC02", {"CSRF_TOKEN": "X-CSRF-Token", "I18N_KEY": "title", "KAFKA_MESSAGE_KEY": "order"}),
    ("SEC02", {"SMTP_PASSWORD": "xnbseyotpswx", "FTP_PASSWORD": "QKZWVHTRPLMG"}),
    ("SEC04", {"S3_SECRET_KEY": PUBLISHED[::-1]}),
    ("SEC05", {"SECRET_KEY": GOOD["SECRET_KEY"][:32]}),
    ("SEC06", {"SECRET_KEY": GOOD["SECRET_KEY"][:50]}),
    ("SEC07", {"SECRET_KEY": GOOD["SECRET_KEY"][:40]}),
    ("SEC08", {"OTHER_TOKEN": f"devotion{PASSWORD}"}),
    ("SEC09", {"OTHER_TOKEN": GOOD["SECRET_KEY"][::-1]}),
    ("SEC11", {"GEMINI_API_KEY": "", "OPENAI_API_KEY": "sk-proj-7Hq2mXv9Lr4TzWb8NcYd1Kf"}),
    ("SEC12", {"OIDC_CLIENT_ID": "shop-7", "OIDC_CLIENT_SECRET": PASSWORD}),
    ("SEC13", {"STRIPE_KEY": "sk_test_51H8s9dKj3Lm2Qw7Er5Ty9Ui", "ENVIRONMENT": "staging"}),
    ("SEC13", {"OPENAI_API_KEY": "sk-proj-7Hq2mXv9Lr4TzWb8NcYd1KfGs6JpEu0A"}),
    ("SEC14", {"SERVICE_TOKEN": "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.c2lnbmF0dXJl"}),
    ("DB01", {"DATABASE_URL": f"{URL}?sslmode=verify-full"}),
    ("DB02", {"DATABASE_URL": f"{URL}?sslmode=verify-full"}),
    ("DB03", {"DATABASE_URL": f"{URL}?sslmode=verify-full"}),
    ("DB04", {"DATABASE_URL": "postgresql:///orders?host=/var/run/postgresql"}),
    ("DB05", {"DATABASE_URL": f"{URL}?sslmode=require"}),
    ("DB05", {"DATABASE_URL": URL, "PGSSLMODE": "require"}),
    ("DB06", {"DATABASE_URL": f"{URL}?sslmode=verify-full"}),
    ("DB06", {"DATABASE_URL": f"{URL}?sslmode=require", "PGSSLROOTCERT": __file__}),
    ("DB07", {"DB_POOL_MIN_SIZE": "50"}),
    ("DB19", {"SIDECAR_SCHEMA": "Billing-api"}),
    ("DB09", {"DB_POOL_MIN_SIZE": "5"}),
    ("DB11", {"DB_POOL_ACQUIRE_TIMEOUT_SECONDS": "29"}),
    ("DB12", {"DATABASE_URL": f"{URL}?sslmode=verify-full"}),
    ("DB13", {"DATABASE_URL": f"{URL.replace('orders', 'latest')}?sslmode=verify-full"}),
    ("DB13", {"DATABASE_URL": URL.replace("db.internal/orders", "db.shop.io/ab_test")}),
    ("DB17", {"DATABASE_URL": f"{URL}?application_name=a&TimeZone=UTC&options=-cjit%3Doff&x.y=1"}),
    ("DB17", {"DATABASE_URL": f"{URL}?target_session_attrs=read-write&sslnegotiation=direct"}),
    ("DB18", {"DATABASE_URL": f"{URL}?sslmode=verify-full", "PGSSLROOTCERT": __file__}),
    ("DB15", {"DB_POOL_MIN_SIZE": "2", "DB_POOL_MAX_SIZE": "10"}),
    ("APP01", {"DEBUG": "no", "SIDECAR_LOG_LEVEL": "INFO"}),
    ("APP02", {"ENABLE_DOCS": "off"}),
    ("APP03", {"CORS_ORIGINS": "https://shop.io"}),
    ("APP04", {"CORS_ORIGINS": "https://shop.io"}),
    ("APP05", {"ALLOWED_HOSTS": "shop.io,admin.shop.io"}),
    ("APP06", {"SESSION_COOKIE_SECURE": "true", "CSRF_COOKIE_HTTPONLY": "false"}),
    ("APP07", {"FIRST_SUPERUSER_PASSWORD": PASSWORD}),
    ("OPS01", {"SIDECAR_HOST": "0.0.0.0"}),
    ("OPS02", {"SIDECAR_DRAIN_DELAY_SECONDS": "25"}),
    ("OPS03", {"SIDECAR_WORKER_HANG_SECONDS": "2"}),
    ("OPS05", {"SIDECAR_AGENT_HOST": "127.0.0.1", "SIDECAR_AGENT_PORT": "8687"}),
    (
        "OPS04",
        {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "OTLP,prometheus",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.internal",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_SDK_DISABLED": "true",
        },
    ),
]


@pytest.mark.parametrize(
    ("values", "severities"),
    [
        ({"SIDECAR_HOST": "0.0.0.0"}, ["refuse"]),
        ({"SIDECAR_HOST": "::"}, ["refuse"]),
        ({"SIDECAR_HOST": "127.0.0.1"}, ["warning"]),
        ({"SIDECAR_WORKERS": "2"}, ["warning"]),
        ({}, []),
        ({"ENVIRONMENT": "development", "SIDECAR_HOST": "0.0.0.0"}, ["info"]),
        ({"ENVIRONMENT": "development", "SIDECAR_WORKERS": "2"}, []),
    ],
)
def test_production_asks_for_a_token_of_its_own_where_a_sidecar_is_meant(
    values: dict[str, str], severities: list[str]
) -> None:
    bare = {name: value for name, value in GOOD.items() if name != "SIDECAR_TOKEN"}
    seen = [each for each in found(judge(**{**bare, **values})) if each[0] == "OPS01"]

    assert [severity for _, _, severity in seen] == severities


def test_a_good_production_environment_has_no_finding() -> None:
    assert found(judge(**GOOD)) == []


def test_a_production_environment_of_a_cluster_has_no_finding_above_info() -> None:
    given = GOOD | {
        "PATH": "/usr/local/bin:/usr/bin",
        "HOME": "/root",
        "HOSTNAME": "shop-7d9f8b6c5-x2x9z",
        "LANG": "C.UTF-8",
        "GPG_KEY": "A035C8C19219BA821ECEA86B64E628F8D684696D",
        "PYTHON_SHA256": "c909157bb25ec114e5869124cc2a9c4a4d4c1e957ca4ff553f1edc692101154e",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "SHOP_PORT": "tcp://10.96.7.7:80",
        "AWS_REGION": "eu-central-1",
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/shop",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/token",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca.crt",
        "TLS_KEY_FILE": "/certs/tls.key",
        "REDIS_URL": "redis://cache:6379/0",
        "SENTRY_DSN": "https://9f2c7d41b8e603a5c4d7f1928e6b3a50@o1.ingest.sentry.io/42",
        "STRIPE_SECRET_KEY": "sk_live_51H8s9dKj3Lm2Qw7Er5Ty9Ui",
        "OIDC_CLIENT_ID": "shop",
        "OIDC_CLIENT_SECRET": "Qm7Xv2Lr9TzWb4NcYd1KfGs6JpEu0AHh",
        "MAIL_PASSWORD": "tango-Velvet-91-harbor-mint",
        "SESSION_COOKIE_SECURE": "true",
        "ALLOWED_HOSTS": "shop.io",
        "MAX_TOKENS": "4096",
        "TOKENIZERS_PARALLELISM": "false",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
        "OTEL_SERVICE_NAME": "shop",
        "SIDECAR_HOST": "0.0.0.0",
        "SIDECAR_WORKERS": "4",
    }

    assert {severity for _, _, severity in found(judge(**given))} <= {"info"}


def test_a_generated_secret_is_good_enough_for_our_own_rules() -> None:
    assert found(judge(**(GOOD | {"SECRET_KEY": generate().reveal()}))) == []


@pytest.mark.parametrize(("rule", "name", "change"), FIRING)
def test_a_rule_sees_its_case(rule: str, name: str, change: dict[str, str]) -> None:
    verdict = judge(**(GOOD | change))
    seen = [each for each in verdict.findings if (each.id, each.field) == (rule, name)]

    assert seen
    assert seen[0].hint
    assert not [value for value in change.values() if len(value) > 8 and value in str(seen)]


@pytest.mark.parametrize(("rule", "change"), QUIET)
def test_a_rule_is_quiet_beside_its_case(rule: str, change: dict[str, str]) -> None:
    assert rule not in {each.id for each in judge(**(GOOD | change)).findings}


def test_every_rule_has_a_case_and_an_id_of_its_own() -> None:
    ids = [rule.id for rule in RULES]

    assert {rule for rule, _, _ in FIRING} | FROM_FILES | FROM_SERVER == set(ids)
    assert {rule for rule, _, _ in FIRING} == {rule for rule, _ in QUIET}
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "change",
    [
        {"DATABASE_URL": "postgresql:///orders?host=/var/run/postgresql"},
        {
            "DATABASE_URL": f"postgresql://shop:{PASSWORD}@db.mycompany.dev/orders"
            f"?sslmode=verify-full&sslrootcert={__file__}"
        },
        {"SECRET_KEY": "Kf3vQ8mZr1Xc6Tn0Wb5Lp9Hd4Ys7Jg2AuEiOoUyBnVx"},
        {"GEMINI_API_KEY": "", "OPENAI_API_KEY": "sk-proj-7Hq2mXv9Lr4TzWb8NcYd1KfGs6JpEu0A"},
        {"GENAI_API_KEY": "7Hq2mXv9Lr4TzWb8NcYd1KfGs6JpEu0A"},
        {"POSTGRES_PASSWORD": PASSWORD, "PGPASSWORD": PASSWORD},
        {"HOME": "/root", "PATH": "/bin", "LANG": "C", "SSH_AUTH_SOCK": "/tmp/agent"},
        {"SIDECAR_HOST": "0.0.0.0"},
    ],
)
def test_a_good_case_is_not_warned_about(change: dict[str, str]) -> None:
    assert {severity for _, _, severity in found(judge(**(GOOD | change)))} <= {"info"}


def test_the_tutorial_environment_gives_three_refusals_and_two_warnings_by_name() -> None:
    verdict = judge(
        ENVIRONMENT="production",
        DATABASE_URL="postgresql://user:password@localhost:5432/dbname",
        GEMINI_API_KEY="your-api-key-here",
        CORS_ORIGINS="*",
        DEBUG="true",
    )

    assert verdict.refused
    assert [each for each in found(verdict) if each[2] != "info"] == [
        ("SEC01", "SECRET_KEY", "refuse"),
        ("SEC02", "DATABASE_URL", "refuse"),
        ("SEC02", "GEMINI_API_KEY", "refuse"),
        ("APP01", "DEBUG", "warning"),
        ("APP03", "CORS_ORIGINS", "warning"),
    ]


def test_an_empty_production_environment_is_refused_with_everything_that_is_missing() -> None:
    verdict = judge(ENVIRONMENT="production")

    assert verdict.refused
    assert {each.field for each in verdict.findings if each.severity is Severity.REFUSE} == {
        "DATABASE_URL",
        "SECRET_KEY",
        "GEMINI_API_KEY",
    }


@pytest.mark.parametrize("environment", ["development", "test"])
@pytest.mark.parametrize("change", [change for _, _, change in FIRING])
def test_development_is_never_refused(environment: str, change: dict[str, str]) -> None:
    verdict = judge(**(GOOD | change | {"ENVIRONMENT": environment}))

    assert not verdict.refused
    assert Severity.REFUSE not in {each.severity for each in verdict.findings}


def test_an_empty_development_environment_warns_and_starts() -> None:
    assert found(judge()) == [
        ("SEC01", "SECRET_KEY", "warning"),
        ("SEC11", "GEMINI_API_KEY", "warning"),
        ("DB01", "DATABASE_URL", "info"),
        ("ENV01", "ENVIRONMENT", "info"),
    ]


@pytest.mark.parametrize(
    ("host", "severity"),
    [("db", "warning"), ("db.svc.cluster.local", "warning"), ("shop.flycast", "warning"),
     ("db.shop.io", "refuse"), ("10.0.0.7", "refuse"), ("db,db.shop.io", "refuse")],
)  # fmt: skip
def test_plain_text_is_refused_but_warned_about_inside_a_private_network(
    host: str, severity: str
) -> None:
    url = f"postgresql://shop:{PASSWORD}@{host}/orders"

    assert ("DB05", "DATABASE_URL", severity) in found(judge(**(GOOD | {"DATABASE_URL": url})))


@pytest.mark.parametrize(("name", "severity"), [("ab_test_results", "info"), ("dev-portal", "info"),
    ("shop_test", "refuse"), ("shop-dev-2", "refuse")])  # fmt: skip
def test_only_a_name_that_means_testing_is_refused_in_production(name: str, severity: str) -> None:
    url = f"postgresql://shop:{PASSWORD}@db.shop.io/{name}?sslmode=require"

    assert ("DB13", "DATABASE_URL", severity) in found(judge(**(GOOD | {"DATABASE_URL": url})))


def test_an_unknown_environment_counts_as_production() -> None:
    assert ("ENV01", "ENVIRONMENT", "refuse") in found(judge(**(GOOD | {"ENVIRONMENT": "qa"})))
    assert found(judge(**(GOOD | {"ENVIRONMENT": "PRODUCTION"}))) == []


def test_a_misspelt_name_is_told_what_was_meant() -> None:
    values = {name: value for name, value in GOOD.items() if name != "SECRET_KEY"}
    verdict = judge(**values, SECERT_KEY="x")

    assert "did you mean SECRET_KEY?" in " ".join(each.message for each in verdict.findings)


def test_a_megabyte_in_every_variable_is_judged() -> None:
    values = {each.name: "a9" * 500_000 for each in declarations()}

    assert judge(**(values | {"ENVIRONMENT": "production"})).refused


@unhurried
@given(
    st.dictionaries(
        st.sampled_from([each.name for each in declarations()]) | st.text(max_size=12),
        st.text() | st.text().map("postgresql://a:b@".__add__) | st.text().map("eyJ".__add__),
        max_size=8,
    )
)
def test_any_environment_is_judged(values: dict[str, str]) -> None:
    assert json.loads(encode(judge(**values).report(NOW).as_dict()))["checklist"]


@pytest.mark.parametrize(
    "value", ["\udcff", "postgresql://h/\udcff", "fe80::1%\udcff", "http://\udcff"]
)
def test_what_is_not_utf8_is_judged_and_reported(value: str) -> None:
    values = {each.name: value for each in declarations()}

    assert json.loads(encode(judge(**values).report(NOW).as_dict()))["status"] == "refused"


@unhurried
@given(st.text(min_size=1), st.floats() | st.integers() | st.text() | st.none())
def test_claims_and_entropy_of_anything_can_be_asked_for(value: str, seconds: object) -> None:
    assert 0 <= entropy_bits(value) <= 21
    assert jwt_claims(value) == {}
    expires_at = expiry({"exp": seconds})
    assert expires_at is None or expires_at.tzinfo is UTC
