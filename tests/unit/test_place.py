"""What a sentence may say of a database URL."""

import pytest

from sidecar.diagnosis.cause import Cause
from sidecar.diagnosis.place import Place
from sidecar.diagnosis.refusal import tell


def test_a_plain_url_is_told_by_role_host_and_database() -> None:
    place = Place.of("postgresql://shop:s3cr3t@db.internal:6432/orders?sslmode=require")
    assert place == Place("shop", "db.internal", "6432", "orders")
    told = tell(Cause.PASSWORD_REFUSED, place, "SQLSTATE 28P01").sentence()
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
        if cause in {Cause.READ_ONLY, Cause.STANDBY}:
            continue
        told = tell(cause, Place.of(url)).sentence()
        assert "canary" not in told
        assert "1234" not in told
        assert "\x1b" not in told


def test_a_name_that_is_no_identifier_is_quoted_where_it_is_pasted() -> None:
    place = Place.of("postgresql://app.project-1:x@db/Orders")
    cure = tell(Cause.DATABASE_MISSING, place).cure
    assert 'CREATE DATABASE "Orders" OWNER "app.project-1"' in cure
