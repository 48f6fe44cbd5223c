from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession

from sidecar.health.outcome import failed, passed, warned
from sidecar.health.phase import Phase
from sidecar.health.probe_answers import ProbeAnswers

BEARER = {"Authorization": "Bearer correct-horse"}
PROBES = ["/health", "/livez", "/ready", "/readyz", "/startup", "/startupz"]


@pytest.mark.parametrize("path", PROBES)
async def test_a_probe_tells_the_public_one_word(
    path: str, start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.get(listener.url + path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/health+json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "event-sidecar"
        assert await answer.json(content_type=None) == {"status": "pass"}


@pytest.mark.parametrize("path", PROBES)
async def test_head_has_the_headers_of_get_and_no_body(
    path: str, start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.get(listener.url + path) as got, http.head(listener.url + path) as head:
        assert head.status == got.status
        assert await head.read() == b""
        ignored = {"Date"}
        assert {k: v for k, v in head.headers.items() if k not in ignored} == {
            k: v for k, v in got.headers.items() if k not in ignored
        }


async def test_the_token_shows_checks_phase_and_reasons(
    start: Any, http: ClientSession, tell: Any
) -> None:
    tell(postgres=failed("postgres.unreachable"))
    listener = await start()

    async with http.get(listener.url + "/ready", headers=BEARER) as answer:
        assert answer.status == 503
        body = await answer.json(content_type=None)

    assert body["status"] == "fail"
    assert body["version"] == "1.2.3"
    assert body["phase"] == "running"
    assert body["reasons"] == ["postgres.unreachable"]
    (postgres,) = body["checks"]["postgres:status"]
    assert postgres["status"] == "fail"
    assert postgres["output"] == "postgres.unreachable"
    assert postgres["componentType"] == "component"
    assert postgres["time"].endswith("Z")


async def test_observed_values_are_shown_with_their_unit(start: Any, http: ClientSession) -> None:
    listener = await start()

    async with http.get(listener.url + "/ready", headers=BEARER) as answer:
        (postgres,) = (await answer.json(content_type=None))["checks"]["postgres:status"]

    assert (postgres["observedValue"], postgres["observedUnit"]) == (1.5, "ms")
    assert "output" not in postgres


async def test_a_refusal_says_when_to_ask_again_and_public_callers_get_the_same_code(
    start: Any, http: ClientSession, tell: Any
) -> None:
    tell(postgres=failed("postgres.unreachable"))
    listener = await start()

    async with http.get(listener.url + "/ready") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        assert answer.headers["Cache-Control"] == "no-store"
        assert await answer.json(content_type=None) == {"status": "fail"}


async def test_a_warning_answers_200(start: Any, http: ClientSession, tell: Any) -> None:
    tell(postgres=warned("postgres.slow"), disk=failed("disk.full"))
    listener = await start()

    async with http.get(listener.url + "/ready") as answer:
        assert answer.status == 200
        assert "Retry-After" not in answer.headers
        assert await answer.json(content_type=None) == {"status": "warn"}


async def test_a_stale_answer_makes_readiness_503_without_anyone_telling(
    start: Any, http: ClientSession, clock: SimpleNamespace
) -> None:
    listener = await start()
    async with http.get(listener.url + "/ready") as answer:
        assert answer.status == 200

    clock.mono = 10.0

    async with http.get(listener.url + "/ready", headers=BEARER) as answer:
        assert answer.status == 503
        body = await answer.json(content_type=None)
    (postgres,) = body["checks"]["postgres:status"]
    assert (postgres["status"], postgres["outcome"]) == ("fail", "unknown")
    assert postgres["output"] == "postgres.stale"


async def test_a_change_is_answered_by_the_next_request(
    start: Any, http: ClientSession, tell: Any, ready: ProbeAnswers
) -> None:
    listener = await start()
    statuses = []
    for change in (
        lambda: tell(postgres=failed("postgres.unreachable")),
        lambda: tell(postgres=passed()) or tell(postgres=passed()),
        lambda: ready.enter(Phase.DRAINING),
    ):
        change()
        async with http.get(listener.url + "/ready") as answer:
            statuses.append(answer.status)

    assert statuses == [503, 200, 503]


async def test_draining_and_held_processes_stay_alive(
    start: Any, http: ClientSession, ready: ProbeAnswers
) -> None:
    listener = await start()

    for phase in (Phase.DRAINING, Phase.HELD):
        ready.enter(phase)
        async with http.get(listener.url + "/health") as answer:
            assert answer.status == 200
        async with http.get(listener.url + "/ready", headers=BEARER) as answer:
            assert answer.status == 503
            assert (await answer.json(content_type=None))["phase"] == phase


async def test_startup_is_503_until_boot_is_over(
    start: Any, http: ClientSession, ready: ProbeAnswers
) -> None:
    ready.enter(Phase.STARTING)
    listener = await start()

    async with http.get(listener.url + "/startup") as answer:
        assert answer.status == 503
    ready.enter(Phase.RUNNING)
    async with http.get(listener.url + "/startup") as answer:
        assert answer.status == 200


async def test_a_body_is_rendered_once_while_its_answer_holds(
    start: Any, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = await start()
    async with http.get(listener.url + "/ready") as answer:
        assert answer.status == 200

    def refuse(*args: object, **kwargs: object) -> bytes:
        raise AssertionError("rendered again")

    monkeypatch.setattr("sidecar.web.probe.status_word", refuse)
    async with http.get(listener.url + "/ready") as answer:
        assert answer.status == 200
