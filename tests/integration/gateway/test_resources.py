"""Customers, tenants, tasks and approvals over HTTP, through their own workers on real servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.event_store.base import OutcomeKind
from projections.approvals.projection import APPROVALS
from projections.customers.projection import CUSTOMERS
from projections.tasks.projection import TASKS
from projections.tenants.projection import TENANTS
from projections.timeline.projection import TIMELINE
from services.customers.worker import build as build_customers
from services.tasks.worker import build as build_tasks
from services.tenants.worker import build as build_tenants
from tests.integration.gateway.conftest import LIST, OWN, PATIENT, Caller, OpenCaller, serve
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration
REFUND = {"category": "refund", "priority": 2, "metadata": {"amount": "1500.00", "order_id": "ORD-1"}}


async def with_workers(mesh: Mesh, open_caller: OpenCaller, build: Callable[..., Any], *models: Any) -> Caller:
    """A caller of a gateway in a mesh where the commands of one more context are decided and shown."""
    await mesh.start(build(mesh.settings, mesh.telemetry), mesh.relay(), *(mesh.projection(model) for model in models))
    return await open_caller((await serve(mesh))._own.url)


async def test_a_customer_from_registration_to_its_changes(mesh: Mesh, open_caller: OpenCaller) -> None:
    call = await with_workers(mesh, open_caller, build_customers, CUSTOMERS)
    path = "/api/v1/customers"
    ada = {"customer_id": OWN, "tier": "premium", "name": "Ada Byron", "contact": {"email": " Ada@Example.org ", "phone": None}}
    made = await call("POST", path, "manager", json=ada, headers=PATIENT)
    assert made.status_code == 201, made.text
    assert made.headers["location"].endswith(f"{path}/{OWN}")
    shown = made.json()
    assert (shown["tier"], shown["email"], shown["position"]) == ("premium", "ada@example.org", "customers:1")
    assert set(shown["_links"]) == {"self", "tier", "contact", "requests"}
    unnamed = await call("POST", path, "manager", json={}, headers={**PATIENT, "Idempotency-Key": "one"})
    again = await call("POST", path, "manager", json={}, headers={**PATIENT, "Idempotency-Key": "one"})
    assert unnamed.json()["customer_id"].startswith("cust-")
    assert unnamed.json()["customer_id"] == again.json()["customer_id"]

    vip = await call("PUT", f"{path}/{OWN}/tier", "manager", json={"tier": "enterprise"}, headers=PATIENT)
    moved = await call("PUT", f"{path}/{OWN}/contact", "manager", json={"contact": {"email": "ada@new.org"}}, headers=PATIENT)
    assert (vip.status_code, vip.json()["tier"], moved.json()["email"]) == (200, "enterprise", "ada@new.org")
    for body in ({"tier": "gold"}, {"tier": "free", "contact": None}, {}):
        assert (await call("PUT", f"{path}/{OWN}/tier", json=body)).status_code == 422
    assert (await call("PUT", f"{path}/cust-nobody/tier", json={"tier": "free"})).status_code == 404
    assert (await call("PUT", f"{path}/{OWN}/tier", "agent", json={"tier": "free"})).status_code == 403

    assert [each["tier"] for each in (await call("GET", f"{path}?sort=oldest")).json()["items"]] == ["enterprise", "standard"]
    assert [each["customer_id"] for each in (await call("GET", f"{path}?tier=enterprise")).json()["items"]] == [OWN]
    seen = await call("GET", path, "customer")
    assert [(each["customer_id"], set(each["_links"])) for each in seen.json()["items"]] == [(OWN, {"self", "requests"})]
    assert (await call("GET", f"{path}/{unnamed.json()['customer_id']}", "customer")).status_code == 404
    for method, more in (("GET", ""), ("PUT", "/tier")):
        body = {"json": {"tier": "free"}} if method == "PUT" else {}
        assert (await call(method, f"{path}/{OWN}{more}", tenant="other", **body)).status_code == 404
    taken = await call("POST", path, tenant="other", json={"customer_id": OWN}, headers=PATIENT)
    assert (taken.status_code, taken.json()["error"]["details"]["rule"]) == (422, "customer_must_not_exist")


async def test_a_tenant_is_the_tokens_and_no_other(mesh: Mesh, open_caller: OpenCaller) -> None:
    call = await with_workers(mesh, open_caller, build_tenants, TENANTS)
    path = "/api/v1/tenants"
    assert (await call("GET", path)).json()["items"] == []
    settings = {"approval_threshold": {"amount": "500.00", "currency": "EUR"}, "approvers": ["ann"]}
    made = await call("POST", path, json={"name": "Test", "settings": settings}, headers=PATIENT)
    assert (made.status_code, made.json()["tenant_id"], made.json()["approval_threshold"]) == (201, TENANT, settings["approval_threshold"])
    assert (await call("POST", path, json={"name": "Test", "tenant_id": "other"})).status_code == 422
    changed = await call("PATCH", f"{path}/{TENANT}", json={"requests_per_minute": 600}, headers=PATIENT)
    assert (changed.status_code, changed.json()["requests_per_minute"], changed.json()["version"]) == (200, 600, 2)
    assert (await call("PATCH", f"{path}/{TENANT}", json={})).status_code == 422
    assert (await call("PATCH", f"{path}/{TENANT}", "manager", json={"four_eyes": True})).status_code == 403
    assert set((await call("GET", f"{path}/{TENANT}", "manager")).json()["_links"]) == {"self"}
    assert (await call("GET", f"{path}/{TENANT}", "agent")).status_code == 403
    assert (await call("GET", f"{path}/{TENANT}", tenant="other")).status_code == 404
    assert (await call("PATCH", f"{path}/{TENANT}", tenant="other", json={"four_eyes": True}, headers=PATIENT)).status_code == 404
    assert [each["tenant_id"] for each in (await call("GET", path)).json()["items"]] == [TENANT]
    assert (await call("GET", path, tenant="other")).json()["items"] == []


async def test_tasks_are_found_by_what_they_are_for_and_cancelled(mesh: Mesh, open_caller: OpenCaller) -> None:
    call = await with_workers(mesh, open_caller, build_tasks, TASKS)
    path = "/api/v1/tasks"
    for number in range(3):
        payload = {"task_id": f"task-{number}", "task_type": "triage", "kind": "triage", "subject_id": f"req-{number % 2}", "input": {}}
        outcome = await mesh.do_in("tasks", "RequestTask", f"task-{number}", payload)
        assert outcome.kind is OutcomeKind.EVENTS

    async def shown() -> bool:
        return len((await call("GET", path)).json()["items"]) == 3

    await wait_for(shown, 20, "three tasks")
    found = (await call("GET", f"{path}?subject_id=req-0&status=queued&sort=oldest&limit=1", "agent")).json()
    assert [each["task_id"] for each in found["items"]] == ["task-0"]
    following = (await call("GET", found["_links"]["next"]["href"], "agent")).json()
    assert [each["task_id"] for each in following["items"]] == ["task-2"]
    assert following["next_cursor"] is None
    assert set((await call("GET", f"{path}/task-0")).json()["_links"]) == {"self", "cancel", "request"}
    assert set((await call("GET", f"{path}/task-0", "agent")).json()["_links"]) == {"self", "request"}

    assert (await call("POST", f"{path}/task-0/cancel", "agent", json={"reason": "no"})).status_code == 403
    assert (await call("POST", f"{path}/task-0/cancel", json={})).status_code == 422
    assert (await call("POST", f"{path}/task-0/cancel", tenant="other", json={"reason": "no"})).status_code == 404
    assert (await call("GET", f"{path}/task-0", tenant="other")).status_code == 404
    done = await call("POST", f"{path}/task-0/cancel", json={"reason": "not needed"}, headers=PATIENT)
    assert (done.status_code, done.json()["status"]) == (200, "done")
    assert set(done.json()["_links"]) == {"self", "request"}


async def test_an_approval_is_delegated_asked_about_answered_and_then_decided(mesh: Mesh, call: Caller) -> None:
    await mesh.start(mesh.projection(APPROVALS), mesh.projection(TIMELINE))
    request_id = await call.created(**REFUND)
    triage = {"category": "refund", "priority": 2, "confidence": 0.9}
    for name, payload in (("TriageRequest", triage), ("StartResearch", {}), ("RequireApproval", {"findings": {"order": "broken"}})):
        await mesh.do(name, request_id, payload)
    path = f"/api/v1/approvals/{request_id}"

    async def waits() -> bool:
        return (await call("GET", path)).status_code == 200

    await wait_for(waits, 20, "the approval")
    shown = (await call("GET", path, "manager")).json()
    assert (shown["status"], shown["findings"], shown["financial_impact"]) == (
        "waiting",
        {"order": "broken"},
        {"amount": "1500.00", "currency": "USD"},
    )
    assert set(shown["_links"]) == {"self", "request", "approve", "delegate", "question"}
    assert (await call("GET", path, "agent")).status_code == 403
    assert (await call("GET", path, tenant="other")).status_code == 404
    asked = await call("POST", f"{path}/question", "manager", json={"question": "Is there a picture?"}, headers=PATIENT)
    assert (asked.status_code, asked.json()["asked_by"]) == (200, "manager-1")
    assert "answer" in asked.json()["_links"]
    answered = await call("POST", f"{path}/answer", json={"answer": "Yes."}, headers=PATIENT)
    assert (answered.json()["answer"], "answer" in answered.json()["_links"]) == ("Yes.", False)
    delegated = await call("POST", f"{path}/delegate", "manager", json={"to": "admin-1", "reason": "away"}, headers=PATIENT)
    assert delegated.json()["delegated_to"] == "admin-1"
    listed = (await call("GET", "/api/v1/approvals?status=waiting&sort=oldest&delegated_to=admin-1")).json()["items"]
    assert [each["request_id"] for each in listed] == [request_id]

    decided = await call("POST", shown["_links"]["approve"]["href"], json={"approved": True}, headers=PATIENT)
    assert decided.json()["status"] == "approved"
    await wait_for(lambda: _has(call, path, "approved"), 20, "the decision in the approval")
    decisions = (await call("GET", f"{LIST}/{request_id}/decisions", "agent")).json()["items"]
    assert "approval" in {each["kind"] for each in decisions}

    async def timeline() -> bool:
        answer = await call("GET", f"{LIST}/{request_id}/timeline")
        return answer.status_code == 200 and {each["name"] for each in answer.json()["parts"]} == {"approval"}

    await wait_for(timeline, 20, "the timeline")
    assert (await call("GET", f"{LIST}/{request_id}/timeline", "customer")).status_code == 403


async def _has(call: Caller, path: str, status: str) -> bool:
    return bool((await call("GET", path)).json()["status"] == status)
