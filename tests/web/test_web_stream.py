import asyncio
import json
from typing import Any

from aiohttp import ClientResponse, ClientSession

from sidecar.web.stream import MOST_WATCHERS, Stream

BEARER = {"Authorization": "Bearer correct-horse"}


async def next_parts(answer: ClientResponse) -> dict[str, str]:
    while line := await answer.content.readline():
        if line.startswith(b"data: "):
            parts: dict[str, str] = json.loads(line[6:])
            return parts
    return {}


async def test_a_watcher_gets_all_first_and_then_what_changed(
    start: Any, http: ClientSession, snapshot: dict[str, Any]
) -> None:
    listener = await start(take_snapshot=lambda: snapshot)

    async with http.get(listener.url + "/events", headers=BEARER) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert await answer.content.readline() == b"retry: 2000\n"
        first = await next_parts(answer)
        assert {"head", "verdict", "checks", "projections"} <= first.keys()
        snapshot["verdict"] = "Not ready: <postgres>."
        assert await next_parts(answer) == {
            "verdict": '<p class="verdict ready">Not ready: &lt;postgres&gt;.</p>',
            "announcement": "Not ready: &lt;postgres&gt;.",
        }


async def test_the_stream_ends_when_the_process_drains(
    start: Any, http: ClientSession, snapshot: dict[str, Any]
) -> None:
    listener = await start(take_snapshot=lambda: snapshot)

    async with http.get(listener.url + "/events", headers=BEARER) as answer:
        await next_parts(answer)
        snapshot["phase"] = "draining"
        assert "draining" in (await next_parts(answer))["head"]
        async with asyncio.timeout(5.0):
            assert await next_parts(answer) == {}


async def test_strangers_get_no_events(start: Any, http: ClientSession) -> None:
    listener = await start()

    async with http.get(listener.url + "/events") as answer:
        assert answer.status == 401


async def test_a_head_request_does_not_watch(start: Any, http: ClientSession) -> None:
    listener = await start()

    async with http.head(listener.url + "/events", headers=BEARER) as answer:
        assert answer.status == 200
    async with http.get(listener.url + "/health") as answer:
        assert answer.status == 200


async def test_more_watchers_than_are_good_for_the_probes_are_refused(
    start: Any, http: ClientSession
) -> None:
    listener = await start()
    answers = [
        await http.get(listener.url + "/events", headers=BEARER) for _ in range(MOST_WATCHERS)
    ]
    for answer in answers:
        await next_parts(answer)

    async with http.get(listener.url + "/events", headers=BEARER) as refused:
        assert refused.status == 503
        assert "/api/status" in (await refused.json())["detail"]
    for answer in answers:
        answer.close()


async def test_a_watcher_that_leaves_makes_room() -> None:
    stream = Stream(lambda: {"phase": "running"}, pause_seconds=0.0)
    watchers = [stream.watch() for _ in range(MOST_WATCHERS)]
    for watcher in watchers:
        await anext(watcher)
    full_before = stream.is_full

    await watchers[0].aclose()

    assert (full_before, stream.is_full) == (True, False)
    for watcher in watchers[1:]:
        await watcher.aclose()
