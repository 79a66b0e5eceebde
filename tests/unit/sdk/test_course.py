"""The course of a call, with answers that the test gives and time that it moves: retries, tokens, outcomes, waits, errors."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from agentmesh_client import (
    AgentMesh,
    AgentMeshError,
    AsyncAgentMesh,
    BusinessRuleViolation,
    Conflict,
    EndedOtherwise,
    Forbidden,
    IdempotencyKeyReused,
    NotConnected,
    NotFound,
    RateLimited,
    Retries,
    ServerError,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    ValidationError,
    WaitTimedOut,
)
from agentmesh_client.calls import Answer, Call, reader
from agentmesh_client.course import Course, Send, Sleep, Steps
from agentmesh_client.errors import error_of
from agentmesh_client.models import AccessToken
from agentmesh_client.operations import operating, requests
from agentmesh_client.retries import delay_ms
from agentmesh_client.signing import PATH, Signer, credentials_of

REQUEST = {
    "request_id": "req-1",
    "customer_id": "cust-0042",
    "thread_id": "t-1",
    "status": "pending",
    "message": "x",
    "priority": 2,
    "created_at": "2026-05-04T12:00:00Z",
    "updated_at": "2026-05-04T12:00:00Z",
    "version": 1,
    "position": "requests:7",
    "added_later": {"x": 1},
}
ACCEPTED = {"command_id": "c-1", "request_id": "req-1", "status": "accepted"}
LOGIN = {"login": "ann@acme", "password": "correct horse"}


def answer(status: int = 200, body: Any = REQUEST, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


class Script:
    """Takes the steps of a course: gives these answers, in turn; the clock moves by what is slept."""

    def __init__(self, *answers: Answer | AgentMeshError, **credentials: str) -> None:
        self.answers = list(answers)
        self.sent: list[Send] = []
        self.slept: list[float] = []
        self.now = 0.0
        signer = Signer(credentials_of(**(credentials or {"token": "t"})), lambda: self.now)
        self.course = Course("https://mesh.example/", signer, Retries(jitter=False), None, lambda: self.now)

    def take(self, steps: Steps[Any]) -> Any:
        try:
            step = next(steps)
            while True:
                try:
                    result = self.do(step)
                except AgentMeshError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            return end.value

    def do(self, step: Any) -> Answer | None:
        if isinstance(step, Sleep):
            self.slept.append(step.seconds)
            self.now += step.seconds
        elif isinstance(step, Send):
            self.sent.append(step)
            found = self.answers.pop(0)
            if isinstance(found, AgentMeshError):
                raise found
            return found
        else:
            self.take(self.course.renew(step.token))
        return None

    def perform(self, call: Call[Any]) -> Any:
        return self.take(self.course.perform(call))


def create(**options: Any) -> Call[Any]:
    return requests.create_request("cust-0042", "x", **options)


# --- retries (RES-07) -----------------------------------------------------------------------------------------------------


def test_delays_double_from_100_ms_up_to_10_seconds_and_jitter_comes_after_the_cap() -> None:
    assert [delay_ms(each, jitter=False) for each in range(1, 10)] == [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
    assert [delay_ms(9, chance=lambda: 1.0), delay_ms(9, chance=lambda: 0.0), delay_ms(10_000, jitter=False)] == [12_000, 8_000, 10_000]


@pytest.mark.parametrize("failure", [answer(503, {}), answer(429, {}), NotConnected("cut")])
def test_what_may_go_by_is_repeated_with_the_same_key_and_ids(failure: Answer | AgentMeshError, caplog: pytest.LogCaptureFixture) -> None:
    script = Script(failure, failure, answer(201))
    with caplog.at_level(logging.WARNING):
        assert script.perform(create()).request_id == "req-1"
    assert script.slept == [0.1, 0.2]
    assert len({(each.headers["Idempotency-Key"], each.headers["X-Correlation-ID"], each.body) for each in script.sent}) == 1
    assert [each.levelname for each in caplog.records] == ["WARNING", "WARNING"]


def test_three_attempts_in_all_then_the_last_error_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(*[answer(503, {})] * 3)
    with pytest.raises(Unavailable) as caught:
        script.perform(create(correlation_id="mine"))
    assert (len(script.sent), script.slept, caught.value.correlation_id) == (3, [0.1, 0.2], "mine")
    assert [each.levelname for each in caplog.records] == ["WARNING", "WARNING", "ERROR"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 502, 504])
def test_no_other_status_is_repeated(status: int) -> None:
    script = Script(answer(status, {}))
    with pytest.raises(AgentMeshError) as caught:
        script.perform(create())
    assert (caught.value.status, script.slept) == (status, [])


def test_retry_after_is_honoured_and_a_long_one_is_not_waited_for() -> None:
    script = Script(answer(429, {}, retry_after="7"), answer(201))
    script.perform(create())
    assert script.slept == [7.0]
    with pytest.raises(RateLimited) as caught:
        Script(answer(429, {}, retry_after="3600")).perform(create())
    assert caught.value.retry_after == 3600


def test_what_has_no_key_is_repeated_only_where_it_was_surely_not_done() -> None:
    call = operating.discard_dead_letter("requests", 17, "no use")
    with pytest.raises(NotConnected):
        Script(NotConnected("cut")).perform(call)
    with pytest.raises(UnexpectedAnswer):
        Script(answer(429, {}), answer()).perform(call)  # repeated; this answer is no dead letter


def test_every_command_has_a_key_of_its_own_unless_one_is_given() -> None:
    keys = [(create().headers or {})["Idempotency-Key"] for _ in range(2)]
    assert keys[0] != keys[1]
    assert (create(idempotency_key="k").headers or {})["Idempotency-Key"] == "k"


# --- tokens -----------------------------------------------------------------------------------------------------------


def token(name: str, seconds: int = 1800) -> Answer:
    return answer(200, {"access_token": name, "expires_in": seconds})


def authorizations(script: Script) -> list[str]:
    return [each.headers.get("Authorization", "none") for each in script.sent]


def test_a_token_is_asked_for_once_and_renewed_before_it_ends() -> None:
    script = Script(token("one"), answer(), answer(), token("two"), answer(), **LOGIN)
    call = requests.get_request("req-1")
    script.perform(call)
    script.now = 1739
    script.perform(call)
    script.now = 1741
    script.perform(call)
    assert authorizations(script) == ["none", "Bearer one", "Bearer one", "none", "Bearer two"]
    assert script.sent[0].url == f"https://mesh.example{PATH}"
    assert script.sent[0].body == b"grant_type=password&username=ann%40acme&password=correct+horse"


def test_a_token_that_is_refused_is_renewed_once() -> None:
    script = Script(token("one"), answer(401, {}), token("two"), answer(), **LOGIN)
    script.perform(requests.get_request("req-1"))
    assert authorizations(script) == ["none", "Bearer one", "none", "Bearer two"]
    script = Script(token("one"), answer(401, {}), token("two"), answer(401, {}), **LOGIN)
    with pytest.raises(Unauthorized):
        script.perform(requests.get_request("req-1"))


def test_a_token_that_somebody_renewed_meanwhile_is_not_asked_for_again() -> None:
    script = Script(token("one"), **LOGIN)
    script.take(script.course.renew(None))
    script.take(script.course.renew("an older one"))
    assert len(script.sent) == 1


def test_a_wrong_password_is_told_and_a_key_goes_in_its_header() -> None:
    with pytest.raises(Unauthorized):
        Script(answer(401, {}), **LOGIN).perform(requests.get_request("req-1"))
    script = Script(answer(), api_key="am_1_2")
    script.perform(requests.get_request("req-1"))
    assert (script.sent[0].headers["X-API-Key"], authorizations(script)) == ("am_1_2", ["none"])


@pytest.mark.parametrize("given", [{}, {"login": "x"}, {"token": "x", "api_key": "y"}, {"client_secret": "hidden"}])
def test_credentials_are_one_and_whole(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Give token, api_key") as caught:
        AgentMesh("https://mesh.example", **given)  # type: ignore[arg-type]
    assert "hidden" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    shown = repr([credentials_of(token="hidden"), credentials_of(api_key="hidden"), credentials_of(client_id="c", client_secret="hidden")])
    assert "hidden" not in shown + repr(AccessToken(access_token="hidden"))


# --- outcomes and waits ----------------------------------------------------------------------------------------------


def test_what_is_accepted_is_settled_by_the_same_command_with_the_same_key() -> None:
    script = Script(answer(202, ACCEPTED, retry_after="1"), answer(202, ACCEPTED, retry_after="1"), answer(201))
    found = script.perform(create(wait=0))
    assert (found.command_id, found.retry_after) == ("c-1", 1.0)
    assert script.take(script.course.settled(found, 60.0)).request_id == "req-1"
    assert [each.headers["Prefer"] for each in script.sent] == ["wait=0", "wait=10", "wait=10"]
    assert len({each.headers["Idempotency-Key"] for each in script.sent}) == 1
    assert script.take(script.course.settled("an outcome", 60.0)) == "an outcome"


def test_a_refusal_that_comes_later_is_raised_and_time_ends() -> None:
    refused = answer(422, {"error": {"code": "BUSINESS_RULE_VIOLATION", "message": "It is closed.", "details": {"rule": "open"}}})
    script = Script(answer(202, ACCEPTED), refused)
    with pytest.raises(BusinessRuleViolation) as caught:
        script.take(script.course.settled(script.perform(create()), 60.0))
    assert caught.value.details == {"rule": "open"}
    script = Script(*[answer(202, ACCEPTED, retry_after="2")] * 9)
    with pytest.raises(WaitTimedOut, match="c-1"):
        script.take(script.course.settled(script.perform(create()), 5.0))


def test_a_request_is_looked_at_until_it_has_the_status() -> None:
    done = answer(200, {**REQUEST, "status": "completed"})
    script = Script(answer(404, {}), answer(), answer(), done)
    assert script.take(script.course.wait_for("req-1", {"completed"}, 60.0)).status == "completed"
    assert len(script.slept) == 3
    script = Script(done)
    with pytest.raises(EndedOtherwise) as caught:
        script.take(script.course.wait_for("req-1", {"approved"}, 60.0))
    assert caught.value.details == {"status": "completed"}
    script = Script(*[answer()] * 50)
    with pytest.raises(TimeoutError):
        script.take(script.course.wait_for("req-1", {"completed"}, 5.0))
    assert script.now == 5.0


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "VALIDATION_ERROR", ValidationError),
        (422, "VALIDATION_ERROR", ValidationError),
        (422, "BUSINESS_RULE_VIOLATION", BusinessRuleViolation),
        (422, "IDEMPOTENCY_KEY_REUSED", IdempotencyKeyReused),
        (401, "UNAUTHORIZED", Unauthorized),
        (403, "FORBIDDEN", Forbidden),
        (404, "RESOURCE_NOT_FOUND", NotFound),
        (409, "CONCURRENCY_CONFLICT", Conflict),
        (429, "RATE_LIMITED", RateLimited),
        (500, "INTERNAL_ERROR", ServerError),
        (503, "SERVICE_UNAVAILABLE", Unavailable),
        (413, "PAYLOAD_TOO_LARGE", AgentMeshError),
    ],
)
def test_each_code_is_an_error_of_its_kind(status: int, code: str, kind: type[AgentMeshError]) -> None:
    body = json.dumps({"error": {"code": code, "message": "said", "error_type": "X", "details": {"a": 1}}}).encode()
    found = error_of(status, {"x-correlation-id": "c-1", "retry-after": "3"}, body)
    assert type(found) is kind
    assert (found.code, found.message, found.details, found.status) == (code, "said", {"a": 1}, status)
    assert (found.correlation_id, found.retry_after, str(found)) == ("c-1", 3.0, f"said ({code}, {status}, c-1)")


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"error": {"details": [1]}}', b"\xff"])
def test_an_error_of_something_else_is_told_by_its_status(content: bytes) -> None:
    found = error_of(503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, content)
    assert (type(found), found.message, found.retry_after) == (Unavailable, "The gateway answered 503.", None)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"request_id": 1}'])
def test_an_answer_of_something_else_is_told(content: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        Script(Answer(200, {}, content)).perform(requests.get_request("req-1"))
    with pytest.raises(UnexpectedAnswer):
        Script(Answer(302, {}, content)).perform(requests.get_request("req-1"))
    with pytest.raises(UnexpectedAnswer):
        Script(Answer(202, {}, content)).perform(create())


def test_how_new_a_read_is_comes_with_it_and_models_are_frozen() -> None:
    found = reader(requests.Request)(answer(200, REQUEST, agentmesh_position="requests:7", agentmesh_stale="true"))
    assert (found.stale, found.reached, found.position) == (True, "requests:7", "requests:7")
    with pytest.raises(Exception, match="frozen"):
        found.status = "completed"  # type: ignore[misc]


# --- the two transports -------------------------------------------------------------------------------------------------


def twice(handler: Callable[[httpx2.Request], httpx2.Response], use: Callable[[Any], Any], **given: Any) -> list[Any]:
    """What both clients make of it."""
    options = {"token": "t", "retries": Retries(jitter=False), **given}

    async def run() -> Any:
        async with (
            httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http,
            AsyncAgentMesh("http://m", http=http, **options) as mesh,
        ):
            found = use(mesh)
            return [each async for each in found] if hasattr(found, "__aiter__") else await found

    with httpx2.Client(transport=httpx2.MockTransport(handler)) as http, AgentMesh("http://m", http=http, **options) as mesh:
        found = use(mesh)
        first = list(found) if hasattr(found, "__next__") else found
    return [first, asyncio.run(run())]


def test_a_list_goes_through_all_pages_with_its_filters() -> None:
    asked: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.query.decode())
        more = "cursor=" not in asked[-1]
        return httpx2.Response(200, json={"items": [REQUEST], "next_cursor": "a+b" if more else None})

    first, second = twice(handler, lambda mesh: mesh.all_requests(status="pending", escalated=False))
    assert [each.request_id for each in first] == [each.request_id for each in second] == ["req-1", "req-1"]
    assert asked == ["status=pending&escalated=false", "status=pending&escalated=false&cursor=a%2Bb"] * 2


def test_a_broken_connection_is_tried_again() -> None:
    calls = 0

    def handler(request: httpx2.Request) -> httpx2.Response:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise httpx2.ConnectError("refused", request=request)
        return httpx2.Response(204)

    assert twice(handler, lambda mesh: mesh.delete_request("req-1")) == [None, None]


def test_one_token_is_asked_for_by_many_at_once() -> None:
    paths: list[str] = []

    async def handler(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.path)
        await asyncio.sleep(0.01)
        return httpx2.Response(200, json={"access_token": "t", "expires_in": 60} if request.url.path == PATH else REQUEST)

    async def run() -> None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http:
            mesh = AsyncAgentMesh("http://m", http=http, client_id="c", client_secret="s")
            await asyncio.gather(*(mesh.get_request("req-1") for _ in range(20)))

    asyncio.run(run())
    assert paths.count(PATH) == 1
