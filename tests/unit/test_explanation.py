"""What a sentence may say of a database URL."""

import pytest

from sidecar.diagnosis.cause import Cause
from sidecar.diagnosis.dsn_parts import DsnParts
from sidecar.diagnosis.explanation import explain


def test_a_plain_url_is_told_by_role_host_and_database() -> None:
    parts = DsnParts.of("postgresql://shop:s3cr3t@db.internal:6432/orders?sslmode=require")
    assert parts == DsnParts("shop", "db.internal", "6432", "orders")
    told = explain(Cause.PASSWORD_REFUSED, parts, "SQLSTATE 28P01").sentence()
    assert "role shop (SQLSTATE 28P01)" in told
    assert "s3cr3t" not in told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:canary/canary@db/orders",
        "postgresql://shop:1234/canary@db/orders",
        "postgresql://shop:1234/canary?x@db/orders",
        "postgresql://shop:1234/canary#x@db/orders",
        "postgresql://shop:can@canary@db/orders",
        "postgresql://canary:5432#shop@db",
        "postgresql://shop:x@db/orders?password=canary#@",
        "postgresql://can\x1b[31mcanary:x@db/orders",
        "postgresql://shop@db/can%00canary",
        "nonsense canary",
        "",
    ],
)
def test_a_url_that_can_be_read_in_two_ways_is_not_told(url: str) -> None:
    for cause in Cause:
        told = explain(cause, DsnParts.of(url)).sentence()
        assert "canary" not in told
        assert "1234" not in told
        assert "\x1b" not in told


def test_a_name_that_is_no_identifier_is_quoted_where_it_is_pasted() -> None:
    parts = DsnParts.of("postgresql://app.project-1:x@db/Orders")
    cure = explain(Cause.DATABASE_MISSING, parts).cure
    assert 'CREATE DATABASE "Orders" OWNER "app.project-1"' in cure
