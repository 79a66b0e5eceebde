"""Each failure comes out as one error object with the status of its code, or as problem details for those who accept them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from contracts.errors import BusinessRuleViolation, ConcurrencyConflict, DomainError, ResourceNotFound, ValidationError
from infra.errors import BulkheadFull, CallTimedOut, CircuitOpen, TransientError
from services.gateway.errors import accepts_problem, of_domain
from tests.unit.services.gateway.arena import BASE, CREATE, Arena, bearer, view

LIST = "/api/v1/requests"


@pytest.mark.parametrize(
    ("error", "status", "code", "details"),
    [
        (ValidationError("m", field="f"), 400, "VALIDATION_ERROR", {"field": "f"}),
        (BusinessRuleViolation("m", rule="r", details={"x": 1}), 422, "BUSINESS_RULE_VIOLATION", {"rule": "r", "x": 1}),
        (ResourceNotFound("Request", "1"), 404, "RESOURCE_NOT_FOUND", {"resource_type": "Request", "resource_id": "1"}),
        (ConcurrencyConflict("m", details={"x": 1}), 409, "CONCURRENCY_CONFLICT", {"x": 1}),
        (DomainError("m", code="STALE_ATTEMPT", details={"x": 1}), 500, "STALE_ATTEMPT", {"x": 1}),
    ],
)
async def test_a_refusal_of_the_domain_has_the_status_of_its_code(error: DomainError, status: int, code: str, details: Any) -> None:
    assert of_domain(error).status == status
    arena = Arena()
    arena.reads.error = error
    answer = await arena.call("GET", LIST)
    assert answer.status_code == status
    assert answer.json()["error"] == {
        "error_type": type(error).__name__,
        "message": error.message,
        "code": code,
        "details": details,
    }


async def test_the_body_of_an_error_is_the_error_the_time_and_the_full_url() -> None:
    answer = await Arena().call("GET", "/api/v1/requests/req-9?x=1")
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error", "timestamp", "path"}
    assert answer.json()["path"] == f"{BASE}/api/v1/requests/req-9?x=1"
    assert datetime.fromisoformat(answer.json()["timestamp"]).tzinfo is not None


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (TransientError("database.internal:5432 refused"), "2"),
        (BulkheadFull("commands", 10, 0), "2"),
        (CallTimedOut("Kafka", 5), "2"),
        (CircuitOpen("database", 17.5), "17"),
    ],
)
async def test_a_server_that_is_away_is_503_with_a_time_to_come_back(error: Exception, retry_after: str) -> None:
    arena = Arena()
    arena.reads.error = error
    answer = await arena.call("GET", LIST)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == retry_after
    assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert str(error) not in answer.text


@pytest.mark.parametrize("accept", ["*/*", "application/problem+json"])
async def test_the_text_of_an_unexpected_failure_stays_inside(accept: str, caplog: pytest.LogCaptureFixture) -> None:
    arena = Arena()
    arena.reads.error = RuntimeError("password=hunter2")
    answer = await arena.call("GET", LIST, headers={"Accept": accept})
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert "Internal server error" in answer.text
    assert "hunter2" in caplog.text
    assert answer.headers["x-request-id"].startswith("req-")


async def test_a_404_stays_a_404() -> None:
    for path in ("/", "/api", "/api/v2/requests", "/api/v1/requests/req-9", "/api/v1/requests/", "/redoc", "/problems/NOPE"):
        answer = await Arena().call("GET", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND"), path


async def test_a_method_that_is_not_there_is_405_and_says_which_are() -> None:
    answer = await Arena().call("PUT", LIST)
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
    assert answer.headers["allow"]


async def test_problem_details_hold_the_same_error() -> None:
    arena = Arena()
    headers = {"Accept": "application/problem+json", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    answer = await arena.call("POST", LIST, json={**CREATE, "priority": 9, "message": ""}, headers=headers)
    body = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"{BASE}/problems/VALIDATION_ERROR"
    assert body["status"] == 422
    assert body["instance"] == f"{BASE}{LIST}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["trace_id"] == "a" * 32
    assert {each["pointer"] for each in body["errors"]} == {"/message", "/priority"}
    assert all(each["detail"] for each in body["errors"])
    assert body["error"]["code"] == "VALIDATION_ERROR"


async def test_the_type_of_a_problem_leads_to_a_text_for_everybody() -> None:
    answer = await Arena().call("GET", "/problems/BUSINESS_RULE_VIOLATION", role=None)
    assert answer.status_code == 200
    assert "422" in answer.text


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/problem+json", True),
        ("application/json, application/problem+json", True),
        ("Application/Problem+JSON;q=0.5", True),
        ("application/problem+json;q=0", False),
        ("application/problem+json; q=0.0", False),
        ("*/*", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_problem_details_are_for_those_who_name_them(accept: str, wanted: bool) -> None:
    assert accepts_problem(accept) is wanted


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/customer_id", "/message"}),
        ({**CREATE, "priority": "2"}, {"/priority"}),
        ({**CREATE, "category": "x"}, {"/category"}),
        ({**CREATE, "customer_id": "cust-12"}, {"/customer_id"}),
        ({**CREATE, "unknown": 1}, {"/unknown"}),
        ({**CREATE, "a/b~c": 1}, {"/a~1b~0c"}),
        ({**CREATE, "tenant_id": "other"}, {"/tenant_id"}),
        ({**CREATE, "request_id": "req-1"}, {"/request_id"}),
        ({**CREATE, "metadata": {"amount": "much"}}, {"/metadata"}),
        ({**CREATE, "category": "refund", "priority": 1}, {"/priority"}),
        ({**CREATE, "message": "<script>hunter2</script>"}, {"/message"}),
        ([], {"/(whole body)"}),
    ],
)
async def test_a_broken_field_is_pointed_at_and_never_repeated(body: Any, pointers: set[str]) -> None:
    arena = Arena()
    answer = await arena.call("POST", LIST, json=body)
    assert answer.status_code == 422
    errors = answer.json()["error"]["details"]["errors"]
    assert {each["pointer"] for each in errors} == pointers
    assert all(each["rule"] and each["shape"] for each in errors)
    assert "hunter2" not in answer.text
    assert not arena.published.commands


async def test_very_many_broken_fields_are_counted_and_not_listed() -> None:
    body = {**CREATE, "metadata": [1]}
    answer = await Arena().call("POST", LIST, json=body)
    assert [each["shape"] for each in answer.json()["error"]["details"]["errors"]] == ["list of 1 items"]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "status=deleted", "status=x", "customer_id=x", "cursor=x", "cursor="])
async def test_a_broken_query_names_its_parameter(query: str) -> None:
    answer = await Arena().call("GET", f"{LIST}?{query}")
    (error,) = answer.json()["error"]["details"]["errors"]
    assert answer.status_code == 422
    assert (error["field"], error["in"]) == (query.split("=")[0], "query")


@pytest.mark.parametrize("make", [lambda: b"{", lambda: b"\xff", lambda: b'{"a":NaN}', lambda: b'{"a":1,"a":2}', lambda: b"[" * 100_000])
async def test_what_is_no_json_is_400(make: Callable[[], bytes]) -> None:
    answer = await Arena().call("POST", LIST, content=make(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    assert answer.json()["error"]["details"] == {"field": "(whole body)"}


@pytest.mark.parametrize("text", ['"\\ud800"', '{"customer_id":"cust-0042","message":"\\udfff"}', "1" * 10_000, "Infinity", "", "null x"])
async def test_what_no_reader_agrees_on_is_400(text: str) -> None:
    answer = await Arena().call("POST", LIST, content=text.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, json.loads(answer.text)


async def test_deep_metadata_is_422() -> None:
    deep = json.dumps(CREATE)[:-1] + ',"metadata":{"a":' + "[" * 150 + "]" * 150 + "}}"
    answer = await Arena().call("POST", LIST, content=deep.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("kind", ["text/plain", "", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_of_another_type_is_415(kind: str) -> None:
    answer = await Arena().call("POST", LIST, content=json.dumps(CREATE).encode(), headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("depth", [99, 190, 250, 600, 950, 5_000, 100_000])
async def test_a_body_of_any_depth_is_answered_and_only_a_legal_one_is_published(depth: int) -> None:
    arena = Arena()
    deep = json.dumps(CREATE)[:-1] + ',"metadata":{"a":' + "[" * depth + "]" * depth + "}}"
    answer = await arena.call("POST", LIST, content=deep.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code in ((202,) if depth < 100 else (400, 422))
    assert len(arena.published.commands) == (depth < 100)


async def test_of_very_many_broken_fields_twenty_are_told_and_the_rest_is_counted() -> None:
    arena = Arena()
    arena.reads.put(view())
    answer = await arena.call("POST", f"{LIST}/req-1/approve", json={"approved": True, **{f"x{number}": 1 for number in range(30)}})
    details = answer.json()["error"]["details"]
    assert (answer.status_code, len(details["errors"]), details["more_errors"]) == (422, 20, 10)


async def test_a_caller_who_goes_away_in_the_middle_of_its_body_publishes_nothing() -> None:
    arena = Arena()
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b'{"customer_id"', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"authorization", bearer()["Authorization"].encode())]
    scope = {"type": "http", "method": "POST", "path": LIST, "raw_path": LIST.encode(), "query_string": b"", "headers": headers}
    await arena.app({**scope, "root_path": "", "scheme": "http", "server": ("x", 1), "client": ("y", 2)}, receive, send)
    assert sent[0]["status"] == 408
    assert not arena.published.commands
