"""Requests over HTTP on real servers: created, read, changed, approved, listed, told, deleted; refused; retried."""

from __future__ import annotations

import asyncio

import pytest

from infra.event_store.base import OutcomeKind
from tests.integration.gateway.conftest import AT_ONCE, LIST, OTHERS, PATIENT, Caller, OpenCaller, body, serve
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration


async def test_a_request_from_its_creation_to_its_deletion(mesh: Mesh, call: Caller) -> None:
    created = await call("POST", LIST, "agent", json=body(metadata={"order_id": "ORD-1"}), headers={**PATIENT, "X-Correlation-ID": "c-7"})
    assert created.status_code == 201
    assert created.headers["preference-applied"] == "wait=10"
    assert created.headers["x-correlation-id"] == "c-7"
    request_id = created.json()["request_id"]
    one = f"{LIST}/{request_id}"
    assert created.headers["location"] == str(call.client.base_url).rstrip("/") + one
    (event,) = await mesh.store.read_stream(request_id)
    assert (event.metadata.tenant_id, event.metadata.auth_type, event.metadata.auth_id) == (TENANT, "user", "agent-1")
    assert event.metadata.correlation_id == "c-7"

    read = await call("GET", created.headers["location"])
    assert (read.status_code, read.json()["status"], read.json()["metadata"]) == (200, "pending", {"order_id": "ORD-1"})
    assert set(read.json()["_links"]) == {"self", "update", "approve"}
    assert set((await call("GET", one, "customer")).json()["_links"]) == {"self"}

    changed = await call("PATCH", one, "agent", json={"priority": 3}, headers=PATIENT)
    assert (changed.status_code, changed.json()["priority"], changed.headers["etag"]) == (200, 3, '"2"')
    unchanged = await call("PATCH", one, "agent", json={"priority": 3}, headers=PATIENT)
    assert (unchanged.status_code, unchanged.headers["etag"]) == (200, '"2"')

    approved = await call("POST", f"{one}/approve", "manager", json={"approved": True, "reason": "known customer"}, headers=PATIENT)
    assert (approved.status_code, approved.json()["status"]) == (200, "pending")  # in advance: recorded, the status stays
    (decision,) = await mesh.rows(
        "SELECT decided_by, outcome FROM read_requests.request_decisions WHERE request_id = %(id)s", id=request_id
    )
    assert tuple(decision) == ("manager-1", "approved_in_advance")

    history = (await call("GET", f"{one}/history")).json()
    assert [item["event_type"].split(".")[2] for item in history["items"]] == ["RequestCreated", "RequestUpdated", "ApprovedInAdvance"]
    assert [item["actor"]["id"] for item in history["items"]] == ["agent-1", "agent-1", "manager-1"]

    deleted = await call("DELETE", one, headers=PATIENT)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method, path, more in [
        ("GET", one, {}),
        ("GET", f"{one}/history", {}),
        ("DELETE", one, {}),
        ("PATCH", one, {"json": {"priority": 1}}),
    ]:
        assert (await call(method, path, **more)).status_code == 404, path
    assert (await call("GET", LIST)).json()["items"] == []
    assert (await mesh.stream(request_id))[-1] == "RequestDeleted"


async def test_what_waits_for_a_person_is_approved_or_rejected_and_what_is_completed_shows_its_history(mesh: Mesh, call: Caller) -> None:
    refund = {"category": "refund", "priority": 2, "metadata": {"amount": "1500.00", "order_id": "ORD-1"}}
    first, second = [await call.created(**refund) for _ in range(2)]
    for request_id in (first, second):
        triage = {"category": "refund", "priority": 2, "confidence": 0.9}
        for name, payload in (("TriageRequest", triage), ("StartResearch", {}), ("RequireApproval", {"findings": {}})):
            outcome = await mesh.do(name, request_id, payload)
            assert outcome.kind is OutcomeKind.EVENTS
        await mesh.read_model_at(request_id, outcome.version)
    waiting = (await call("GET", f"{LIST}?status=awaiting_approval")).json()["items"]
    assert {item["request_id"] for item in waiting} == {first, second}
    assert all("approve" in item["_links"] for item in waiting)

    approved = await call("POST", f"{LIST}/{first}/approve", "manager", json={"approved": True}, headers=PATIENT)
    assert (approved.status_code, approved.json()["status"]) == (200, "approved")
    assert "approve" not in approved.json()["_links"]
    rejected = await call("POST", f"{LIST}/{second}/approve", "manager", json={"approved": False, "reason": "too late"}, headers=PATIENT)
    assert (rejected.json()["status"], rejected.json()["reason"], set(rejected.json()["_links"])) == ("rejected", "too late", {"self"})

    outcome = await mesh.do("CompleteRequest", first, {"resolution": "Refunded."})
    await mesh.read_model_at(first, outcome.version)
    completed = (await call("GET", f"{LIST}/{first}", "customer")).json()
    assert (completed["status"], completed["resolution"], set(completed["_links"])) == ("completed", "Refunded.", {"self", "history"})
    assert (await call("GET", completed["_links"]["history"]["href"], "customer")).status_code == 200
    refused = await call("PATCH", f"{LIST}/{first}", json={"priority": 4}, headers=PATIENT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "BUSINESS_RULE_VIOLATION")
    assert refused.json()["error"]["details"]["rule"] == "update_requires_open_request"


async def test_a_refusal_of_the_domain_is_answered_with_its_status_and_recorded_once(mesh: Mesh, call: Caller) -> None:
    request_id = await call.created()
    headers = {**PATIENT, "Accept": "application/problem+json"}
    refused = await call("POST", f"{LIST}/{request_id}/approve", json={"approved": False, "reason": "no"}, headers=headers)
    problem = refused.json()
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert problem["error"]["details"]["rule"] == "rejecting_requires_awaiting_approval"
    assert (await call.client.get(problem["type"])).status_code == 200
    assert await mesh.stream(request_id) == ["RequestCreated"]


async def test_what_breaks_the_schema_is_refused_before_anything_is_published(mesh: Mesh, call: Caller) -> None:
    for changes in ({"message": ""}, {"message": "<script>"}, {"customer_id": "cust-12"}, {"priority": 5}, {"tenant_id": "other"}):
        answer = await call("POST", LIST, json=body(**changes))
        assert answer.status_code == 422
        assert answer.json()["error"]["details"]["errors"][0]["pointer"] == f"/{next(iter(changes))}"
    assert await mesh.records(mesh.commands_topic.removeprefix(mesh.settings.topic_prefix)) == []


async def test_without_a_wait_202_says_where_to_look_and_the_request_comes(mesh: Mesh, call: Caller) -> None:
    accepted = await call("POST", LIST, json=body(), headers=AT_ONCE)
    assert accepted.status_code == 202
    told = accepted.json()
    assert accepted.headers["preference-applied"] == "wait=0"
    assert int(accepted.headers["retry-after"]) > 0
    outcome = await mesh.outcome(told["request_id"], told["command_id"])
    assert outcome.kind is OutcomeKind.EVENTS

    async def shown() -> bool:
        return (await call("GET", accepted.headers["location"])).status_code == 200

    await wait_for(shown, 20, "the request at its location")


async def test_what_was_accepted_a_moment_ago_can_be_changed_before_any_read_model_shows_it(mesh: Mesh, open_caller: OpenCaller) -> None:
    await mesh.start(mesh.requests_worker())  # neither relay nor projection: nothing is shown
    call = await open_caller((await serve(mesh))._own.url)
    told = (await call("POST", LIST, json=body(), headers=AT_ONCE)).json()
    await mesh.outcome(told["request_id"], told["command_id"])
    for tenant, status in ((TENANT, 202), ("other", 404)):
        assert (await call("PATCH", f"{LIST}/{told['request_id']}", tenant=tenant, json={"priority": 4})).status_code == status


async def test_a_mesh_that_does_not_answer_costs_the_wait_and_loses_nothing(mesh: Mesh, open_caller: OpenCaller) -> None:
    call = await open_caller((await serve(mesh, wait_seconds=0.2))._own.url)
    told = (await call("POST", LIST, json=body())).json()
    assert told["status"] == "accepted"
    await mesh.start_all()
    assert (await mesh.outcome(told["request_id"], told["command_id"])).kind is OutcomeKind.EVENTS


async def test_lists_are_filtered_and_read_page_by_page(call: Caller) -> None:
    mine = [await call.created(priority=number % 4 + 1) for number in range(5)]
    theirs = [await call.created(customer_id=OTHERS) for _ in range(2)]
    seen: list[str] = []
    url = f"{LIST}?limit=2&status=pending"
    while url:
        page = (await call("GET", url)).json()
        seen += [item["request_id"] for item in page["items"]]
        url = page["_links"].get("next", {}).get("href", "")
    assert sorted(seen) == sorted(mine + theirs)
    assert seen[:2] == list(reversed(theirs))
    found = (await call("GET", f"{LIST}?customer_id={OTHERS}")).json()["items"]
    assert {item["request_id"] for item in found} == set(theirs)
    for role, count in (("agent", 7), ("customer", 5)):
        assert len((await call("GET", LIST, role)).json()["items"]) == count


async def test_the_filters_take_injections_for_what_they_are(call: Caller) -> None:
    await call.created()
    for text in ("' OR 1=1 --", "cust-0042'; DROP TABLE x; --", "%", "cust-\x00abc", "{{7*7}}", "../../etc/passwd"):
        for name in ("customer_id", "status", "cursor", "limit"):
            answer = await call("GET", LIST, params={name: text})
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR"), (name, text)
        assert (await call("GET", LIST, params={"tenant_id": text})).status_code == 200
        assert (await call("GET", f"{LIST}/{text.replace('/', '%2F')}".replace("\x00", "%00"))).status_code in (404, 422)
    assert len((await call("GET", LIST)).json()["items"]) == 1


# --- repeats ---------------------------------------------------------------------------------------------------------


async def test_one_key_makes_one_request_however_often_and_wherever_it_is_sent(mesh: Mesh, call: Caller, open_caller: OpenCaller) -> None:
    other = await open_caller((await serve(mesh))._own.url)
    headers = {**PATIENT, "Idempotency-Key": "order-7"}
    answers = await asyncio.gather(*(each("POST", LIST, json=body(), headers=headers) for each in [call, other] * 10))
    assert {answer.status_code for answer in answers} == {201}
    (request_id,) = {answer.json()["request_id"] for answer in answers}
    assert await mesh.stream(request_id) == ["RequestCreated"]
    different = await other("POST", LIST, json=body(priority=4), headers=headers)
    assert (different.status_code, different.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    another = await call("POST", LIST, "agent", json=body(), headers=headers)
    assert another.json()["request_id"] != request_id
    assert len(await mesh.rows("SELECT 1 FROM read_requests.requests")) == 2


async def test_a_refusal_and_a_deletion_are_repeated_as_they_were(call: Caller) -> None:
    request_id = await call.created()
    refused = [
        await call(
            "POST", f"{LIST}/{request_id}/approve", json={"approved": False, "reason": "no"}, headers={**PATIENT, "Idempotency-Key": "a"}
        )
        for _ in range(2)
    ]
    assert [answer.json()["error"] for answer in refused] == [refused[0].json()["error"]] * 2
    deleted = [await call("DELETE", f"{LIST}/{request_id}", headers={**PATIENT, "Idempotency-Key": "b"}) for _ in range(2)]
    assert [answer.status_code for answer in deleted] == [204, 204]


async def test_another_body_that_arrives_before_the_first_outcome_is_refused_when_that_comes(mesh: Mesh, open_caller: OpenCaller) -> None:
    call = await open_caller((await serve(mesh))._own.url)
    key = {"Idempotency-Key": "order-8"}
    assert (await call("POST", LIST, json=body(), headers={**AT_ONCE, **key})).status_code == 202
    second = asyncio.create_task(call("POST", LIST, json=body(priority=4), headers={**PATIENT, **key}))
    await asyncio.sleep(0.1)
    await mesh.start_all()
    assert (await second).status_code == 422
