from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.config.dsn import SCHEMES, Dsn, DsnError

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure


def test_every_part_of_an_address_is_found() -> None:
    dsn = Dsn.parse("postgresql://sh%40p:p%2Fw@db.internal:6000/or%20ders?sslmode=Require")

    assert (dsn.host, dsn.port, dsn.user, dsn.database) == ("db.internal", 6000, "sh@p", "or ders")
    assert dsn.password is not None
    assert dsn.password.reveal() == "p/w"
    assert dsn.sslmode == "require"
    assert not dsn.is_local


def test_what_is_shown_holds_neither_user_nor_password_nor_query() -> None:
    dsn = Dsn.parse("postgres://user7:pass7@h:1/d?application_name=app7&password=query7")

    shown = f"{dsn.shown()} {dsn.options}"

    assert dsn.shown() == {"scheme": "postgres", "host": "h", "port": 1, "database": "d"}
    assert not [word for word in ("user7", "pass7", "query7") if word in shown]
    assert "pass7" not in repr(dsn)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql:///shop",
        "postgresql:///shop?host=/var/run/postgresql",
        "postgresql://%2Fvar%2Frun/shop",
        "postgresql://localhost/shop",
        "postgresql://127.0.0.2:5432/shop",
        "postgresql://[::1]/shop",
    ],
)
def test_sockets_and_loopback_are_local(text: str) -> None:
    assert Dsn.parse(text).is_local


def test_the_first_of_several_hosts_is_taken() -> None:
    dsn = Dsn.parse("postgresql://u:p@one:1,two:2/d")

    assert (dsn.host, dsn.port) == ("one", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mysql://canary7@h/d", "postgresql://"),
        ("postgresql+asyncpg://canary7@h/d", "driver"),
        ("postgresql://canary7@h:port7/d", "port"),
        ("postgresql://canary7@[h/d", "IPv6"),
        ("postgresql://canary7\x00@h/d", "control character"),
        ("", "postgresql://"),
        ("postgresql://u:12/canary7@h/d", "percent-encoded"),
        ("postgresql://u:p?canary7@h/d", "percent-encoded"),
        ("postgresql://u:p#canary7@h/d", "percent-encoded"),
    ],
)
def test_a_bad_address_is_told_without_the_address(text: str, said: str) -> None:
    with pytest.raises(DsnError, match=said) as refused:
        Dsn.parse(text)

    assert "canary7" not in str(refused.value)
    assert refused.value.__context__ is None


@unhurried
@given(st.one_of(st.text(), st.text().map("postgresql://".__add__)))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(DsnError):
        assert Dsn.parse(text).shown()["scheme"] in SCHEMES
