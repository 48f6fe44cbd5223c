from contextlib import suppress
from inspect import signature
from pathlib import Path

import asyncpg
import pytest
from asyncpg import connect_utils
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.config.dsn import SCHEMES, Dsn, DsnError

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure


def test_every_part_of_an_address_is_found() -> None:
    dsn = Dsn.parse("postgresql://sh%40p:p%2Fw@db.internal:6000/or%20ders?sslmode=require")

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


PLACES = [
    "u:p@one.io,two.io:6000/d",
    "u:p@one.io:1,two.io:2/d",
    "u:p@[::1]:6000/d",
    "u:p@[fd00::7]/d",
    "%2Fvar%2Frun/d",
    "u@%2Fvar%2Frun:6001/d",
    "/d?host=/var/run/postgresql&port=6000",
    "/d?host=one.io,two.io&port=1,2",
    "/d?host=one.io:7,two.io&port=6000",
    "/d?host=one.io:7",
    "u:p@one.io/d?port=6000",
    "one.io?dbname=other&user=me",
    "one.io/d?sslmode=&application_name=x",
    "one.io/d?sslmode=require&sslmode=prefer",
    "%75ser:p%40@one.io/%64",
]
REFUSED = [
    "u@server:pw@one.io/d",
    "one.io,/d",
    "one.io:1,two.io:2,three.io/d?sslmode",
    "one.io/d?sslmode=required",
    "one.io/d?sslmode=Require",
    "one.io/d?sslmode=verify_everything",
    "one.io/d?host",
    "one.io:port/d",
    "/d?host=one.io,two.io,three.io&port=1,2",
]


def read_by_driver(text: str) -> tuple[list[tuple[str, int]], str, str]:
    """Give addresses, user and database as asyncpg takes them out of an address."""
    parse = vars(connect_utils)["_parse_connect_dsn_and_args"]
    addresses, params = parse(**dict.fromkeys(signature(parse).parameters) | {"dsn": text})
    places = (
        (str(Path(each).parent), int(each.rpartition(".")[2])) if isinstance(each, str) else each
        for each in addresses
    )
    return list(places), params.user, params.database


@pytest.fixture
def no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "USER", "DATABASE", "SSLMODE", "SERVICE", "PASSWORD"):
        monkeypatch.delenv(f"PG{name}", raising=False)


@pytest.mark.usefixtures("no_defaults")
@pytest.mark.parametrize("place", PLACES)
def test_an_address_is_read_as_the_driver_reads_it(place: str) -> None:
    text = f"postgresql://{place}"
    places, user, database = read_by_driver(text)
    dsn = Dsn.parse(text)

    assert [(host.name, host.port) for host in dsn.hosts] == places
    assert dsn.user in {user, None}
    assert dsn.database in {database, None}


@pytest.mark.usefixtures("no_defaults")
@pytest.mark.parametrize("place", REFUSED)
def test_what_the_driver_refuses_is_refused(place: str) -> None:
    text = f"postgresql://{place}"

    with pytest.raises((ValueError, IndexError, asyncpg.ClientConfigurationError)):
        read_by_driver(text)
    with pytest.raises(DsnError):
        Dsn.parse(text)


def test_what_an_address_leaves_out_is_the_drivers_default() -> None:
    defaults = {"PGHOST": "one.io,two.io", "PGPORT": "6000", "PGUSER": "me", "PGSSLMODE": "require"}
    dsn = Dsn.parse("postgresql:///d", defaults)
    named = Dsn.parse("postgresql://u@three.io:1/d?sslmode=prefer", defaults)

    assert [(host.name, host.port) for host in dsn.hosts] == [("one.io", 6000), ("two.io", 6000)]
    assert (dsn.user, dsn.sslmode, dsn.is_local) == ("me", "require", False)
    assert (named.host, named.port, named.user, named.sslmode) == ("three.io", 1, "u", "prefer")


def test_one_host_of_several_away_from_this_machine_is_remote() -> None:
    assert not Dsn.parse("postgresql://localhost,db.acme.io/d").is_local
    assert Dsn.parse("postgresql://localhost,127.0.0.1/d").is_local


@unhurried
@given(st.one_of(st.text(), st.text().map("postgresql://".__add__)))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(DsnError):
        assert Dsn.parse(text).shown()["scheme"] in SCHEMES
