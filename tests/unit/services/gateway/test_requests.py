"""The routes of requests: what is published for each, what is answered for each outcome, and whose requests a caller reaches."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest

from contracts.requests.commands import CreateRequest, UpdateRequest
from infra.errors import TransientError
from infra.event_store.base import OutcomeKind
from tests.unit.services.gateway.arena import BASE, CREATE, NOW, OTHERS, OWN, TENANT, Arena, bearer, view

LIST = "/api/v1/requests"
ONE = f"{LIST}/req-1"
CHANGES: list[tuple[str, str, dict[str, Any] | None, str, dict[str, Any]]] = [
    ("PATCH", ONE, {"priority": 3}, "agentmesh.requests.UpdateRequest.v1", {"priority": 3}),
    ("POST", f"{ONE}/approve", {"approved": True}, "agentmesh.requests.ApproveRequest.v1", {}),
    ("POST", f"{ONE}/approve", {"approved": True, "reason": "fine"}, "agentmesh.requests.ApproveRequest.v1", {"reason": "fine"}),
    ("POST", f"{ONE}/approve", {"approved": False, "reason": "no"}, "agentmesh.requests.RejectRequest.v1", {"reason": "no"}),
    ("DELETE", ONE, None, "agentmesh.requests.DeleteRequest.v1", {}),
]


def with_request(**changes: Any) -> Arena:
    """A gateway whose read model shows req-1, and whose commands end well."""
    arena = Arena()
    arena.reads.put(view(**changes))
    arena.settle()
    return arena


async def test_a_request_is_created_and_shown() -> None:
    arena = Arena()
    arena.settle(shows=view())
    answer = await arena.call("POST", LIST, json=CREATE, headers={"X-Correlation-ID": "c-7"})
    body = answer.json()
    assert answer.status_code == 201
    assert uuid.UUID(body["request_id"].removeprefix("req-"))
    assert answer.headers["location"] == f"{BASE}{LIST}/{body['request_id']}" == body["_links"]["self"]["href"]
    assert answer.headers["etag"] == '"1"'
    assert (body["status"], body["message"], body["created_at"]) == ("pending", CREATE["message"], "2026-05-04T12:00:00Z")
    (command,) = arena.published.commands
    assert (command.context, command.aggregate_id) == ("requests", body["request_id"])
    metadata = command.metadata
    assert metadata.type_name == CreateRequest.type_name
    assert (metadata.tenant_id, metadata.auth_type, metadata.auth_id) == (TENANT, "user", "admin-1")
    assert (metadata.source, metadata.subject) == ("/agentmesh/gateway", body["request_id"])
    assert (metadata.correlation_id, metadata.causation_id) == ("c-7", metadata.message_id)
    assert json.loads(command.value) == {**CREATE, "tenant_id": TENANT, "request_id": body["request_id"]}


async def test_a_message_is_sent_as_it_came_so_that_it_is_judged_once() -> None:
    arena = Arena()
    arena.settle(shows=view())
    padded = "   ???ok   "  # a third of it counts as symbols only once it is trimmed
    assert (await arena.call("POST", LIST, json={**CREATE, "message": padded, "priority": None})).status_code == 201
    sent = json.loads(arena.published.commands[0].value)
    assert (sent["message"], sent["priority"]) == (padded, None)


@pytest.mark.parametrize(("wait", "applied"), [("0", "wait=0"), ("5", "wait=5"), ("99", "wait=10")])
async def test_a_wait_that_was_preferred_is_confirmed_and_bounded(wait: str, applied: str) -> None:
    arena = Arena()
    answer = await arena.call("POST", LIST, json=CREATE, headers={"Prefer": f"respond-async, wait={wait}"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == applied


async def test_what_is_not_known_in_time_is_202_with_all_that_is_needed_to_look_later() -> None:
    arena = Arena()
    answer = await arena.call("POST", LIST, json=CREATE)
    command = arena.published.commands[0]
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers
    assert answer.headers["location"] == f"{BASE}{LIST}/{command.aggregate_id}"
    assert answer.headers["retry-after"] == "2"
    assert answer.json() == {
        "status": "accepted",
        "request_id": command.aggregate_id,
        "command_id": command.metadata.message_id,
        "_links": {"self": {"href": answer.headers["location"], "rel": "self", "method": "GET", "description": None}},
    }


async def test_what_has_its_outcome_but_is_not_shown_yet_is_202() -> None:
    arena = Arena()
    arena.settle()
    arena.recorded.shown = False
    assert (await arena.call("POST", LIST, json=CREATE)).status_code == 202


async def test_what_is_parked_by_a_defect_of_ours_is_202() -> None:
    arena = Arena()
    arena.settle(OutcomeKind.PARKED)
    assert (await arena.call("POST", LIST, json=CREATE)).status_code == 202


@pytest.mark.parametrize(
    ("code", "status"),
    [("VALIDATION_ERROR", 400), ("BUSINESS_RULE_VIOLATION", 422), ("RESOURCE_NOT_FOUND", 404), ("CONCURRENCY_CONFLICT", 409), ("X", 500)],
)
async def test_a_refusal_is_answered_as_it_was_recorded(code: str, status: int) -> None:
    arena = Arena()
    arena.settle(OutcomeKind.REJECTED, code=code, error_type="E", message="m", details={"rule": "r", "list": [{"a": 1}]})
    answer = await arena.call("POST", LIST, json=CREATE)
    assert answer.status_code == status
    assert answer.json()["error"] == {"error_type": "E", "message": "m", "code": code, "details": {"rule": "r", "list": [{"a": 1}]}}


async def test_a_broker_that_is_away_is_503() -> None:
    arena = Arena()
    arena.published.error = TransientError("away")
    answer = await arena.call("POST", LIST, json=CREATE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(("method", "path", "body", "type_name", "fields"), CHANGES)
async def test_a_change_is_published_as_its_command(
    method: str, path: str, body: dict[str, Any] | None, type_name: str, fields: dict[str, Any]
) -> None:
    arena = with_request()
    answer = await arena.call(method, path, **({} if body is None else {"json": body}))
    (command,) = arena.published.commands
    assert command.metadata.type_name == type_name
    assert json.loads(command.value) == {"tenant_id": TENANT, "request_id": "req-1", **fields}
    if method == "DELETE":
        assert (answer.status_code, answer.content) == (204, b"")
    else:
        assert (answer.status_code, answer.json()["request_id"], answer.headers["etag"]) == (200, "req-1", '"1"')
        assert "location" not in answer.headers


@pytest.mark.parametrize(("method", "path", "body", "type_name", "fields"), CHANGES)
@pytest.mark.parametrize("hidden", [{"tenant_id": "other"}, {"status": "deleted"}, {"request_id": "req-2"}])
async def test_nothing_is_published_about_what_is_not_there(
    hidden: dict[str, Any], method: str, path: str, body: dict[str, Any] | None, type_name: str, fields: dict[str, Any]
) -> None:
    arena = with_request(**hidden)
    answer = await arena.call(method, path, **({} if body is None else {"json": body}))
    assert answer.status_code == 404
    assert answer.json()["error"]["details"] == {"resource_type": "Request", "resource_id": "req-1"}
    assert not arena.published.commands


async def test_what_was_accepted_a_moment_ago_can_be_changed_before_it_is_shown() -> None:
    arena = Arena()
    arena.recorded.tenants["req-1"] = TENANT
    assert (await arena.call("PATCH", ONE, json={"priority": 3}, headers={"Prefer": "wait=0"})).status_code == 202
    arena.recorded.tenants["req-1"] = "other"
    assert (await arena.call("PATCH", ONE, json={"priority": 3}, headers={"Prefer": "wait=0"})).status_code == 404
    assert len(arena.published.commands) == 1


async def test_a_rejection_needs_a_reason() -> None:
    arena = with_request()
    for body in ({"approved": False}, {"approved": False, "reason": "  "}):
        answer = await arena.call("POST", f"{ONE}/approve", json=body)
        assert answer.json()["error"]["details"]["errors"][0]["pointer"] == "/reason"
    assert not arena.published.commands


async def test_a_key_that_approved_does_not_answer_for_a_rejection() -> None:
    arena = Arena()
    arena.reads.put(view())
    arena.settle(shows=view())
    for approved in (True, False):
        answer = await arena.call("POST", f"{ONE}/approve", json={"approved": approved, "reason": "seen"}, headers=KEY)
        assert answer.status_code == 200
    assert [each.metadata.type_name.split(".")[2] for each in arena.published.commands] == ["ApproveRequest", "RejectRequest"]
    assert len({each.metadata.message_id for each in arena.published.commands}) == 2


@pytest.mark.parametrize("body", [{}, {"approved": "yes"}, {"approved": True, "reason": "x" * 1001}, {"approved": True, "approver": "me"}])
async def test_an_approval_of_another_form_is_422(body: dict[str, Any]) -> None:
    arena = with_request()
    assert (await arena.call("POST", f"{ONE}/approve", json=body)).status_code == 422
    assert not arena.published.commands


async def test_an_update_of_nothing_is_422() -> None:
    answer = await with_request().call("PATCH", ONE, json={})
    assert answer.json()["error"]["details"]["errors"][0]["pointer"] == "/message"


# --- the caller's own ------------------------------------------------------------------------------------------------


async def test_a_customer_creates_its_own_only() -> None:
    arena = Arena()
    arena.settle(shows=view())
    assert (await arena.call("POST", LIST, json=CREATE, role="customer")).status_code == 201
    refused = await arena.call("POST", LIST, json={**CREATE, "customer_id": OTHERS}, role="customer")
    assert (refused.status_code, len(arena.published.commands)) == (403, 1)


async def test_a_customer_reads_its_own_only() -> None:
    arena = with_request()
    arena.reads.put(view("req-2", customer_id=OTHERS))
    for path in ("", "/history"):
        assert (await arena.call("GET", f"{LIST}/req-1{path}", role="customer")).status_code == 200
        assert (await arena.call("GET", f"{LIST}/req-2{path}", role="customer")).status_code == 404
    listed = (await arena.call("GET", LIST, role="customer")).json()["items"]
    assert [each["request_id"] for each in listed] == ["req-1"]
    assert (await arena.call("GET", f"{LIST}?customer_id={OTHERS}", role="customer")).json()["items"] == []


@pytest.mark.parametrize(("method", "path"), [("POST", LIST), ("GET", LIST), ("GET", ONE), ("GET", f"{ONE}/history")])
async def test_a_customer_whose_token_names_no_customer_reaches_nothing(method: str, path: str) -> None:
    arena = with_request()
    more: dict[str, Any] = {"json": CREATE} if method == "POST" else {}
    answer = await arena.call(method, path, role=None, headers=bearer("customer", customer=None), **more)
    assert answer.status_code == 403
    assert not arena.published.commands


async def test_the_tenant_is_the_tokens_whatever_the_query_says() -> None:
    arena = with_request(tenant_id="other")
    answer = await arena.call("GET", f"{LIST}?tenant_id=other")
    assert answer.json()["items"] == []
    assert (await arena.call("GET", ONE, role=None, headers=bearer(tenant="other"))).status_code == 200


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_a_list_is_read_page_by_page_without_gap_or_repeat() -> None:
    arena = Arena()
    for number in range(25):  # five of each moment, so that the id decides too
        arena.reads.put(view(f"req-{number:02}", created_at=NOW + timedelta(seconds=number // 5)))
    seen, url = [], f"{LIST}?limit=4&customer_id={OWN}"
    while url:
        answer = await arena.call("GET", url)
        body = answer.json()
        seen += [each["request_id"] for each in body["items"]]
        url = body["_links"].get("next", {}).get("href", "")
        assert bool(url) is (body["next_cursor"] is not None) is ("link" in answer.headers)
        assert not url or (f"<{url}>" in answer.headers["link"] and "customer_id=" in url)
    assert seen == [f"req-{number:02}" for number in reversed(range(25))]


async def test_a_list_is_filtered_and_holds_no_deleted_request() -> None:
    arena = Arena()
    for name, changes in {"a": {}, "b": {"status": "completed"}, "c": {"customer_id": OTHERS}, "d": {"status": "deleted"}}.items():
        arena.reads.put(view(f"req-{name}", **changes))

    async def listed(query: str) -> list[str]:
        return [each["request_id"] for each in (await arena.call("GET", f"{LIST}{query}")).json()["items"]]

    assert await listed("") == ["req-c", "req-b", "req-a"]
    assert await listed("?status=completed") == ["req-b"]
    assert await listed(f"?customer_id={OTHERS}") == ["req-c"]
    assert await listed(f"?customer_id={OTHERS}&status=completed") == []


# --- repeats ---------------------------------------------------------------------------------------------------------

KEY = {"Idempotency-Key": "order-7"}


async def test_a_repeat_with_the_same_key_is_the_same_command_and_is_not_published_again() -> None:
    arena = Arena()
    arena.settle(shows=view())
    first = await arena.call("POST", LIST, json=CREATE, headers=KEY)
    again = await arena.call(
        "POST", LIST, content=json.dumps(dict(reversed(CREATE.items()))).encode(), headers={**KEY, "Content-Type": "application/json"}
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert len(arena.published.commands) == 1


async def test_a_repeat_before_there_is_an_outcome_is_published_as_the_same_command() -> None:
    arena = Arena()
    answers = [await arena.call("POST", LIST, json=CREATE, headers=KEY) for _ in range(2)]
    first, second = arena.published.commands
    assert [answer.status_code for answer in answers] == [202, 202]
    assert (first.aggregate_id, first.metadata.message_id, first.value) == (second.aggregate_id, second.metadata.message_id, second.value)


async def test_another_gateway_derives_the_same_ids() -> None:
    arenas = Arena(), Arena()
    for arena in arenas:
        await arena.call("POST", LIST, json=CREATE, headers=KEY)
    first, second = (arena.published.commands[0] for arena in arenas)
    assert (first.aggregate_id, first.metadata.message_id) == (second.aggregate_id, second.metadata.message_id)


async def test_the_same_key_with_another_body_is_422() -> None:
    arena = Arena()
    arena.settle(shows=view())
    await arena.call("POST", LIST, json=CREATE, headers=KEY)
    answer = await arena.call("POST", LIST, json={**CREATE, "priority": 4}, headers=KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(arena.published.commands) == 1


async def test_a_key_belongs_to_its_tenant_its_caller_and_its_route() -> None:
    arena = with_request()
    arena.reads.put(view("req-2"))
    calls = [
        ("POST", LIST, "admin", TENANT, CREATE),
        ("POST", LIST, "agent", TENANT, CREATE),
        ("POST", LIST, "admin", "other", CREATE),
        ("PATCH", ONE, "admin", TENANT, {"priority": 3}),
        ("PATCH", f"{LIST}/req-2", "admin", TENANT, {"priority": 3}),
    ]
    for method, path, role, tenant, body in calls:
        await arena.call(method, path, role=None, headers={**bearer(role, tenant), **KEY}, json=body)
    assert len({command.metadata.message_id for command in arena.published.commands}) == len(calls)


async def test_a_deletion_that_is_repeated_is_answered_as_before() -> None:
    arena = with_request()
    assert (await arena.call("DELETE", ONE, headers=KEY)).status_code == 204
    arena.reads.put(view(status="deleted"))
    assert (await arena.call("DELETE", ONE, headers=KEY)).status_code == 204
    assert (await arena.call("DELETE", ONE)).status_code == 404


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "ü"])
async def test_a_key_of_another_form_is_422(key: str) -> None:
    arena = Arena()
    headers: Any = [*bearer().items(), ("Idempotency-Key", key.encode("latin-1"))]
    async with arena.client() as client:
        answer = await client.post(
            LIST, json=CREATE, headers=[(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
        )
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["errors"][0]["field"] == "Idempotency-Key"
    assert not arena.published.commands


def test_the_fields_that_a_caller_sets_are_fields_of_the_commands() -> None:
    from services.gateway.resources.requests import CREATED_FIELDS, UPDATED_FIELDS

    assert set(CreateRequest.model_fields) - CREATED_FIELDS == {"tenant_id", "request_id", "timestamp", "thread_id"}
    assert set(UpdateRequest.model_fields) - UPDATED_FIELDS == {"tenant_id", "request_id"}
