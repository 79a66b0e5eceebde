"""Agents over HTTP, through their own worker on real servers: registered, listed, given work, taken out of service, kept from others."""

from __future__ import annotations

from typing import Any

import pytest

from infra.event_store.base import OutcomeKind
from projections.agents.projection import AGENTS
from projections.tasks.projection import TASKS
from projections.tasks.queries import task_version
from services.agents.worker import build as build_agents
from services.tasks.worker import build as build_tasks
from tests.integration.gateway.conftest import PATIENT, Caller, OpenCaller, serve
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration
V1, V2 = "/api/v1/agents", "/api/v2/agents"


@pytest.fixture
async def call(mesh: Mesh, open_caller: OpenCaller) -> Caller:
    """A caller of a gateway in a mesh where agents and tasks are decided and shown."""
    await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in (build_agents, build_tasks)))
    await mesh.start(mesh.relay(), mesh.projection(AGENTS), mesh.projection(TASKS))
    return await open_caller((await serve(mesh))._own.url)


async def registered(call: Caller, name: str, *capabilities: str, tenant: str = TENANT, **more: Any) -> str:
    body = {"name": name, "capabilities": [{"name": each, "level": 3} for each in capabilities or ("billing",)], **more}
    answer = await call("POST", f"{V1}/", "manager", tenant=tenant, json=body, headers=PATIENT)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["agent_id"])


async def give(mesh: Mesh, task_id: str, agent_id: str) -> None:
    """A task that the agent holds, and the read model shows it."""
    about = {"task_type": "triage", "kind": "general", "subject_id": "req-1", "input": {}}
    await mesh.do_in("tasks", "RequestTask", task_id, {"task_id": task_id, **about})
    outcome = await mesh.do_in("tasks", "AssignTask", task_id, {"task_id": task_id, "agent_id": agent_id, "attempt": 1})
    assert outcome.kind is OutcomeKind.EVENTS

    async def shown() -> bool:
        return await task_version(mesh.database, task_id) >= outcome.version

    await wait_for(shown, 20, "the task")


async def names(call: Caller, query: str, *, tenant: str = TENANT) -> list[str]:
    answer = await call("GET", f"{V1}/{query}", "agent", tenant=tenant)
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()]


async def test_an_agent_from_its_registration_to_its_end(mesh: Mesh, call: Caller) -> None:
    agent_id = await registered(call, "First line", metadata={"team": "blue"})
    one = f"{V1}/{agent_id}"
    read = (await call("GET", one, "agent")).json()["data"]
    assert (read["status"], read["capabilities"], set(read["_links"])) == ("available", [{"name": "billing", "level": 3}], {"self"})
    plain = (await call("GET", f"{V2}/{agent_id}")).json()
    assert (plain["kind"], plain["limit"], plain["metadata"]) == ("general", 1, {"team": "blue"})
    assert set(plain["_links"]) == {"self", "suspend", "drain", "capabilities", "terminate"}

    await give(mesh, "task-1", agent_id)

    async def is_busy() -> bool:  # it was read before, so the cache has it until the task's event has dropped it
        return bool((await call("GET", one)).json()["data"]["status"] == "busy")

    await wait_for(is_busy, 5, "the agent's status")
    suspended = await call("POST", plain["_links"]["suspend"]["href"], "manager", json={"reason": "looked through"}, headers=PATIENT)
    assert (suspended.status_code, suspended.json()["status"], suspended.json()["reason"]) == (200, "suspended", "looked through")
    resumed = await call("POST", suspended.json()["_links"]["resume"]["href"], "manager", headers=PATIENT)
    assert (resumed.status_code, resumed.json()["status"]) == (200, "busy")
    drained = await call("POST", f"{one}/drain", "manager", headers=PATIENT)
    assert (drained.status_code, drained.json()["data"]["status"]) == (200, "draining")
    body = {"capabilities": [{"name": "refund", "level": 5}]}
    assert (await call("PUT", f"{one}/capabilities", "manager", json=body, headers=PATIENT)).json()["data"]["capabilities"] == body[
        "capabilities"
    ]

    ended = await call("DELETE", one, headers=PATIENT)
    assert (ended.status_code, ended.content) == (204, b"")
    assert (await call("DELETE", one, headers=PATIENT)).status_code == 204
    assert (await call("GET", one)).json()["data"]["status"] == "terminated"
    refused = await call("POST", f"{one}/suspend", headers=PATIENT)
    assert (refused.status_code, refused.json()["error"]["details"]["rule"]) == (422, "agent_terminated")
    assert set((await call("GET", one)).json()["data"]["_links"]) == {"self"}
    assert (await call("DELETE", f"{V1}/agent-of-nobody")).status_code == 404


async def test_lists_are_filtered_first_and_cut_after_that_in_a_stable_order(mesh: Mesh, call: Caller) -> None:
    ids = [await registered(call, f"agent {number}", *(["billing", "refund"] if number % 2 else ["billing"])) for number in range(5)]
    await registered(call, "of the other", tenant="other")
    await give(mesh, "task-1", ids[1])
    assert (await call("DELETE", f"{V1}/{ids[4]}", headers=PATIENT)).status_code == 204
    everyone = [f"agent {number}" for number in range(5)]
    assert await names(call, "") == await names(call, "?limit=1000") == everyone
    assert await names(call, "?limit=2&offset=1") == everyone[1:3]
    assert await names(call, "?offset=5") == []
    assert await names(call, "?capability=refund") == [everyone[1], everyone[3]]
    assert await names(call, "?capability=refund&offset=1&limit=1") == [everyone[3]]
    assert await names(call, "?capability=ref") == []
    assert await names(call, "?status=busy") == [everyone[1]]
    assert await names(call, "?status=available") == [everyone[0], everyone[2], everyone[3]]
    assert await names(call, "?status=available&capability=refund") == [everyone[3]]
    assert await names(call, "?status=terminated") == [everyone[4]]
    assert await names(call, "", tenant="other") == ["of the other"]

    found, path = [], f"{V1}/?limit=2"
    while path:
        answer = await call("GET", path)
        found += [each["name"] for each in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert found == everyone
    newest = (await call("GET", f"{V2}?limit=3")).json()
    assert [each["name"] for each in newest["items"]] == [everyone[4], everyone[3], everyone[2]]
    assert [each["name"] for each in (await call("GET", newest["_links"]["next"]["href"])).json()["items"]] == [everyone[1], everyone[0]]


async def test_no_other_tenant_reaches_an_agent(mesh: Mesh, call: Caller) -> None:
    agent_id = await registered(call, "ours")
    before = await mesh.store_of("agents").head()
    for base in (V1, V2):
        for method, more, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("POST", "/suspend", {}),
            ("POST", "/resume", {}),
            ("POST", "/drain", {}),
            ("PUT", "/capabilities", {"capabilities": [{"name": "a", "level": 1}]}),
        ):
            sent = {} if body is None else {"json": body}
            answer = await call(method, f"{base}/{agent_id}{more}", tenant="other", headers=PATIENT, **sent)
            assert answer.status_code == 404, (method, base, more)
    assert await mesh.store_of("agents").head() == before
    for injected in ("' OR '1'='1", "\"}]' OR true --", "%", "\\"):
        assert (await call("GET", f"{V1}/", params={"capability": injected})).json() == []
