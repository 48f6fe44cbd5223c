"""The probes: answered from memory, with bodies rendered when an answer changes."""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import hdrs, web
from multidict import CIMultiDict

from sidecar.health.check import Probe
from sidecar.health.probe_answers import Answer, ProbeAnswers
from sidecar.web.answer import PLAIN, RETRY_AFTER_SECONDS, headers_for, problem
from sidecar.web.auth import Guard
from sidecar.web.document import HEALTH_JSON, status_word, verbose_text


class ProbePage:
    """One probe under its paths.

    The public body and the full one are kept until the answer changes, so that a request costs
    little more than reading the clock.

    Args:
        answers: Where answers come from.
        probe: None is start-up, which has no checks to choose from.
        guard: Decides who gets the full body.
        title: Its name in plain text, such as `readyz`.
        render_full: Makes the full body.
    """

    def __init__(
        self,
        answers: ProbeAnswers,
        probe: Probe | None,
        guard: Guard,
        *,
        title: str,
        render_full: Callable[[Answer], bytes],
    ) -> None:
        self._answers = answers
        self._probe = probe
        self._guard = guard
        self._title = title
        self._render_full = render_full
        self._current = {
            Probe.LIVENESS: answers.liveness,
            Probe.READINESS: answers.readiness,
            None: answers.startup,
        }[probe]
        self._answer: Answer | None = None
        self._public = b""
        self._full = b""
        self._headers: CIMultiDict[str] = headers_for(HEALTH_JSON)
        self._status = 0

    async def respond(self, request: web.BaseRequest) -> web.Response:
        """Answer a request; the status code is the same for every caller."""
        if "?" in request.raw_path:
            return self._respond_to_query(request)
        answer = self._current()
        if answer is not self._answer:
            self._render(answer)
        return web.Response(
            body=self._full if self._guard.admits(request) else self._public,
            status=self._status,
            headers=self._headers.copy(),
        )

    def _render(self, answer: Answer) -> None:
        self._answer = answer
        self._public = status_word(answer)
        self._full = self._render_full(answer)
        self._status, self._headers = _head(answer, HEALTH_JSON)

    def _respond_to_query(self, request: web.BaseRequest) -> web.Response:
        query = request.query
        only = query.getall("check", [])
        answer = self._select(only, query.getall("group", []), query.getall("exclude", []))
        if answer.unknown_groups or not set(only).isdisjoint(answer.unknown_names):
            return problem(HTTPStatus.NOT_FOUND, "This probe has no check or group of that name.")
        content_type = PLAIN if "verbose" in query else HEALTH_JSON
        status, headers = _head(answer, content_type)
        body = self._body(answer, content_type, is_admitted=self._guard.admits(request))
        return web.Response(body=body, status=status, headers=headers)

    def _select(self, only: list[str], groups: list[str], exclude: list[str]) -> Answer:
        if self._probe is None or not (only or groups or exclude):
            return self._current()
        return self._answers.select(self._probe, only=only, groups=groups, exclude=exclude)

    def _body(self, answer: Answer, content_type: str, *, is_admitted: bool) -> bytes:
        if content_type == PLAIN:
            word = f"{answer.verdict.outcome}\n".encode()
            return verbose_text(answer, self._title) if is_admitted else word
        return self._render_full(answer) if is_admitted else status_word(answer)


def _head(answer: Answer, content_type: str) -> tuple[int, CIMultiDict[str]]:
    headers = headers_for(content_type)
    if answer.verdict.ok:
        return HTTPStatus.OK.value, headers
    headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS)
    return HTTPStatus.SERVICE_UNAVAILABLE.value, headers
