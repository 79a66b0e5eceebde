"""The routes of agents: what v1 and v2 answer, what is published for each call, what a list is asked for, and which links are offered."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from contracts.agents.commands import RegisterAgent
from contracts.agents.values import AgentStatus, Capability
from infra.identity.permissions import permits
from projections.agents.queries import ShownAgent
from services.gateway.cursors import after_of
from services.gateway.resources.agent_representation import V2_PATH, links_of
from tests.unit.services.gateway.arena import BASE, NOW, TENANT, Arena, principal

V1, V2 = "/api/v1/agents", "/api/v2/agents"
CREATE = {"name": "First line", "capabilities": [{"name": "billing", "level": 3}]}
CAPABILITIES = ({"name": "billing", "level": 3},)


def row(agent_id: str = "agent-1", status: str = "available", held: int = 0, created_at: datetime = NOW) -> tuple[Any, ...]:
    """An agent as the database answers it, with the tasks that it holds."""
    shown = (agent_id, TENANT, "First line", "triage", json.dumps(CAPABILITIES), 2, status, None, '{"team": "blue"}', created_at, NOW)
    return (*shown, 3, 9, held)


def with_agents(*rows: tuple[Any, ...], **changes: Any) -> Arena:
    """A gateway whose read model answers these rows, and whose commands end well."""
    arena = Arena(**changes)
    arena.reads.canned[b"read_agents.agents"] = rows
    arena.settle()
    return arena


def shown(status: str, held: int = 0) -> ShownAgent:
    return ShownAgent(
        agent_id="agent-1",
        tenant_id=TENANT,
        name="First line",
        kind="triage",
        capabilities=(Capability(name="billing", level=3),),
        task_limit=2,
        status=status,
        reason=None,
        metadata={},
        created_at=NOW,
        updated_at=NOW,
        version=3,
        position=9,
        open_tasks=held,
    )


@pytest.mark.parametrize("path", [V1 + "/", V1])
async def test_v1_answers_what_it_registers_in_its_envelope(path: str) -> None:
    arena = with_agents(row())
    answer = await arena.call("POST", path, json={**CREATE, "metadata": {"team": "blue"}}, role="manager")
    body = answer.json()
    assert (answer.status_code, body["success"], body["error"]) == (201, True, None)
    assert set(body["data"]) == {"agent_id", "name", "status", "capabilities", "created_at", "_links"}
    (command,) = arena.published.commands
    assert str(uuid.UUID(command.aggregate_id)) == command.aggregate_id
    assert answer.headers["location"] == f"{BASE}{V1}/{command.aggregate_id}"
    assert command.metadata.type_name == RegisterAgent.type_name
    fixed = {"tenant_id": TENANT, "agent_id": command.aggregate_id, "kind": "general"}
    assert json.loads(command.value) == {**CREATE, "metadata": {"team": "blue"}, **fixed}


async def test_kind_and_limit_are_the_callers_where_it_names_them_else_the_gateways() -> None:
    arena = with_agents(row(), default_agent_kind="research")
    for more in ({}, {"kind": "triage", "limit": 5}):
        assert (await arena.call("POST", V2, json={**CREATE, **more})).status_code == 201
    sent = [json.loads(command.value) for command in arena.published.commands]
    assert [(each["kind"], each.get("limit")) for each in sent] == [("research", None), ("triage", 5)]


async def test_the_same_key_is_the_same_agent_with_and_without_the_slash_but_not_in_another_version() -> None:
    arena = with_agents(row())
    arena.recorded.shown = False
    headers = {"Idempotency-Key": "k"}
    answers = [await arena.call("POST", path, json=CREATE, headers=headers) for path in (V1, V1 + "/", V2)]
    ids = [answer.json()["agent_id"] for answer in answers]
    assert (ids[0] == ids[1], ids[0] == ids[2], len(arena.published.commands)) == (True, False, 2)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"capabilities": []}, "/capabilities"),
        ({"capabilities": [{"name": "a", "level": 6}]}, "/capabilities/0/level"),
        ({"capabilities": [{"name": "a", "level": True}]}, "/capabilities/0/level"),
        ({"kind": "No Kind"}, "/kind"),
        ({"limit": 0}, "/limit"),
        ({"agent_id": "mine"}, "/agent_id"),
        ({"tenant_id": "other"}, "/tenant_id"),
        ({"metadata": {"a": "x" * 10_000}}, "/metadata"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(changes: dict[str, Any], pointer: str) -> None:
    arena = with_agents()
    answer = await arena.call("POST", V1 + "/", json={**CREATE, **changes})
    assert (answer.status_code, answer.json()["error"]["details"]["errors"][0]["pointer"]) == (422, pointer)
    assert not arena.published.commands


async def test_one_agent_is_shown_in_each_versions_way_and_v1_points_to_v2() -> None:
    arena = with_agents(row(held=2), agents_v1_deprecated_at="2026-12-01T00:00:00Z", agents_v1_sunset_at="2027-06-30T00:00:00+02:00")
    old, new = await arena.call("GET", f"{V1}/agent-1", role="agent"), await arena.call("GET", f"{V2}/agent-1", role="agent")
    assert old.json()["data"] == {
        "agent_id": "agent-1",
        "name": "First line",
        "status": "busy",
        "capabilities": list(CAPABILITIES),
        "created_at": "2026-05-04T12:00:00Z",
        "_links": {"self": {"href": f"{BASE}{V1}/agent-1", "rel": "self", "method": "GET", "description": "This agent."}},
    }
    assert old.headers["deprecation"] == "@1796083200"
    assert old.headers["sunset"] == "Tue, 29 Jun 2027 22:00:00 GMT"
    assert old.headers["link"] == f'<{BASE}{V2}/agent-1>; rel="successor-version"'
    told = new.json()
    assert (told["status"], told["open_tasks"], told["limit"], told["kind"], told["metadata"]) == ("busy", 2, 2, "triage", {"team": "blue"})
    assert (told["position"], new.headers["etag"], "deprecation" in new.headers) == ("agents:9", '"3"', False)


async def test_no_sunset_is_told_while_no_date_is_set() -> None:
    assert "sunset" not in (await with_agents(row()).call("GET", f"{V1}/agent-1")).headers


@pytest.mark.parametrize("path", [f"{V1}/agent-1", f"{V2}/agent-1"])
async def test_what_is_not_there_is_404(path: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await with_agents().call(method, path)
        error = answer.json()["error"]
        assert (answer.status_code, error["details"]) == (404, {"resource_type": "Agent", "resource_id": "agent-1"})


async def test_a_terminated_agent_is_still_read_and_terminating_is_204_without_a_body() -> None:
    arena = with_agents(row(status="terminated"))
    assert (await arena.call("GET", f"{V1}/agent-1")).json()["data"]["status"] == "terminated"
    answer = await arena.call("DELETE", f"{V1}/agent-1")
    assert (answer.status_code, answer.content) == (204, b"")
    assert [command.metadata.type_name for command in arena.published.commands] == ["agentmesh.agents.TerminateAgent.v1"]


ORDERS: list[tuple[str, str, Any, str, dict[str, Any]]] = [
    ("POST", "suspend", {"reason": "strange answers"}, "SuspendAgent", {"reason": "strange answers"}),
    ("POST", "suspend", None, "SuspendAgent", {}),
    ("POST", "drain", {}, "DrainAgent", {}),
    ("POST", "resume", None, "ResumeAgent", {}),
    (
        "PUT",
        "capabilities",
        {"capabilities": [{"name": "a", "level": 1}]},
        "ChangeAgentCapabilities",
        {"capabilities": [{"name": "a", "level": 1}]},
    ),
]


@pytest.mark.parametrize("base", [V1, V2])
@pytest.mark.parametrize(("method", "verb", "body", "name", "sent"), ORDERS)
async def test_an_order_is_published_and_the_agent_answered(
    base: str, method: str, verb: str, body: Any, name: str, sent: dict[str, Any]
) -> None:
    arena = with_agents(row())
    answer = await arena.call(method, f"{base}/agent-1/{verb}", role="manager", **({} if body is None else {"json": body}))
    told = answer.json()
    assert answer.status_code == 200
    assert (told["data"] if base == V1 else told)["agent_id"] == "agent-1"
    (command,) = arena.published.commands
    assert command.metadata.type_name == f"agentmesh.agents.{name}.v1"
    assert json.loads(command.value) == {"tenant_id": TENANT, "agent_id": "agent-1", **sent}


async def test_an_order_takes_no_other_field() -> None:
    arena = with_agents(row())
    for verb, body in (("resume", {"reason": "x"}), ("suspend", {"reason": ""}), ("drain", {"by": "me"}), ("suspend", {"reason": 5})):
        assert (await arena.call("POST", f"{V1}/agent-1/{verb}", json=body)).status_code == 422
    assert not arena.published.commands


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_the_list_of_v1_is_bare_and_leads_on_by_header() -> None:
    arena = with_agents(*(row(f"agent-{number}") for number in range(3)))
    answer = await arena.call("GET", f"{V1}/?limit=2&status=available&capability=billing", role="agent")
    assert [each["agent_id"] for each in answer.json()] == ["agent-0", "agent-1"]
    cursor = answer.headers["x-next-cursor"]
    assert after_of(cursor) == (NOW, "agent-1")
    successor, following = answer.headers["link"].split(", ")
    assert successor == f'<{BASE}{V2}>; rel="successor-version"'
    assert following == f'<{BASE}{V1}/?status=available&capability=billing&limit=2&cursor={cursor}>; rel="next"'
    last = await with_agents(row()).call("GET", V1)
    assert (len(last.json()), "x-next-cursor" in last.headers, "next" in last.headers["link"]) == (1, False, False)


async def test_what_the_list_of_v1_asks_for_by_default_and_otherwise() -> None:
    arena = with_agents()
    for query in ("", "?limit=1000&offset=40"):
        assert (await arena.call("GET", f"{V1}/{query}")).json() == []
    assert [(asked["limit"], asked["offset"]) for asked in arena.reads.asked] == [(101, 0), (1001, 40)]
    assert all(b"ORDER BY a.created_at ASC, a.agent_id ASC LIMIT" in query for query in arena.reads.queries)
    assert all(asked["tenant"] == TENANT for asked in arena.reads.asked)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "offset=-1", "offset=99999999999999999999", "status=BUSY", "capability=", "cursor=x", "offset=1&cursor=x"],
)
async def test_a_query_of_v1_that_breaks_its_rule_is_422(query: str) -> None:
    arena = with_agents()
    answer = await arena.call("GET", f"{V1}/?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert not arena.reads.asked


@pytest.mark.parametrize(
    ("status", "condition"),
    [("busy", b"held >= task_limit"), ("available", b"held < task_limit"), ("draining", b"a.status = %(status)s")],
)
async def test_each_status_is_filtered_in_the_query_itself(status: str, condition: bytes) -> None:
    arena = with_agents()
    await arena.call("GET", f"{V1}/?status={status}")
    assert condition in arena.reads.queries[0]


async def test_a_page_of_v2_is_as_those_of_the_other_resources() -> None:
    arena = with_agents(*(row(f"agent-{number}") for number in range(3)))
    answer = await arena.call("GET", f"{V2}?limit=2&kind=triage&sort=oldest")
    page = answer.json()
    assert ([each["agent_id"] for each in page["items"]], page["items"][0]["kind"]) == (["agent-0", "agent-1"], "triage")
    assert page["_links"]["next"]["href"] == f"{BASE}{V2}?kind=triage&sort=oldest&limit=2&cursor={page['next_cursor']}"
    assert arena.reads.asked[0]["kind"] == "triage"
    assert "deprecation" not in answer.headers


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        (V1 + "/", "application/vnd.agentmesh.v1+json", 200),
        (V1 + "/", "application/vnd.agentmesh.v2+json", 406),
        (V2, "application/vnd.agentmesh.v2+json", 200),
        (V2, "application/vnd.agentmesh.v1+json", 406),
        (V2, "application/vnd.agentmesh.v3+json", 406),
        (V2, "application/vnd.agentmesh.v3+json, */*", 200),
        (V2, "application/json", 200),
    ],
)
async def test_each_path_has_one_version(path: str, accept: str, status: int) -> None:
    answer = await with_agents().call("GET", path, headers={"Accept": accept})
    assert answer.status_code == status
    if status == 406:
        assert answer.json()["error"]["details"]["versions"] == [f"application/vnd.agentmesh.{path[5:7]}+json"]


async def test_a_body_may_name_the_version_of_its_path_only() -> None:
    arena = with_agents(row())
    kinds = {version: f"application/vnd.agentmesh.{version}+json" for version in ("v1", "v2")}
    for version, status in (("v2", 201), ("v1", 415)):
        answer = await arena.call("POST", V2, content=json.dumps(CREATE), headers={"Content-Type": kinds[version]})
        assert answer.status_code == status


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["admin", "manager", "agent", "root"])
@pytest.mark.parametrize("status", [*(status.value for status in AgentStatus), "busy"])
def test_links_offer_what_status_and_role_allow_and_nothing_else(status: str, role: str) -> None:
    wanted = {"self"}
    if role in ("admin", "manager") and status != "terminated":
        wanted |= {"capabilities", "terminate"}
        wanted |= {"suspend"} if status != "suspended" else {"resume"}
        wanted |= {"drain"} if status != "draining" else {"resume"}
    view = shown("available", 2) if status == "busy" else shown(status)
    assert set(links_of(BASE, V2_PATH, view, partial(permits, principal(role)))) == wanted
