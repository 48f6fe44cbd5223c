import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.config.cors_policy import METHODS, CorsPolicy, normal_origin

unhurried = hypothesis_settings(deadline=None)  # a loaded machine is no failure


def test_the_default_policy_lets_the_local_frontend_call_with_credentials() -> None:
    policy = CorsPolicy()

    assert policy.allows("http://localhost:5000")
    assert not policy.allows("http://localhost:5001")
    assert policy.allows_credentials
    assert policy.methods == METHODS == ("GET", "POST", "PUT", "DELETE", "PATCH")


def test_several_origins_are_read_with_blanks_and_trailing_slashes() -> None:
    policy = CorsPolicy.parse(" https://App.example.com/ ,, https://admin.example.com:443 ")

    assert policy.origins == ("https://app.example.com", "https://admin.example.com")
    assert policy.allows("https://admin.example.com")
    assert not policy.allows("https://evil.example.com")
    assert not policy.allows("https://app.example.com.evil.io")
    assert not policy.allows("null")
    assert not policy.allows(None)


def test_a_list_in_json_is_read_too() -> None:
    policy = CorsPolicy.parse('["https://app.example.com", "https://admin.example.com/"]')

    assert policy.origins == ("https://app.example.com", "https://admin.example.com")


@pytest.mark.parametrize("text", ['["https://canary.io"', '["https://canary.io", 1]', "[canary]"])
def test_half_a_list_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="JSON list") as refused:
        CorsPolicy.parse(text)

    assert "canary" not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "origin",
    ["capacitor://localhost", "ionic://localhost", "tauri://localhost", "moz-extension://a-b"],
)
def test_a_packaged_application_has_an_origin_too(origin: str) -> None:
    assert CorsPolicy.parse(origin).allows(origin)


@pytest.mark.parametrize("text", ["*", "http://localhost:3000,*", " * "])
def test_a_wildcard_is_never_combined_with_credentials(text: str) -> None:
    policy = CorsPolicy.parse(text)
    headers = policy.response_headers("https://any.io")

    assert policy.is_wildcard
    assert headers == {"Access-Control-Allow-Origin": "*"}
    assert not policy.allows_credentials


@pytest.mark.parametrize(
    "text",
    [
        "canary.io",
        "https:///canary",
        "ftp://a.io",
        "https://a.io/path",
        "https://u:p@a.io",
        "https://*.a.io",
        "https://a.io:port",
        "https://[::1",
        "https://a b.io",
    ],
)
def test_what_is_not_an_origin_is_refused_by_its_place_not_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="Entry 2 ") as refused:
        CorsPolicy.parse(f"https://ok.io,{text}")

    assert text not in str(refused.value)


def test_a_preflight_grants_methods_and_the_headers_asked_for() -> None:
    headers = CorsPolicy().preflight_headers("http://localhost:5000", "x-request-id")

    assert headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, DELETE, PATCH"
    assert headers["Access-Control-Allow-Headers"] == "x-request-id"
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Vary"] == "Origin"


def test_a_stranger_gets_vary_and_nothing_else() -> None:
    assert CorsPolicy().preflight_headers("https://evil.io", "x") == {"Vary": "Origin"}


@unhurried
@given(st.text())
def test_normal_origins_are_stable_and_any_text_is_judged(text: str) -> None:
    once = normal_origin(text)

    assert once is None or normal_origin(once) == once
