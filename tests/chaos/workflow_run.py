"""The ground of the fleet's chaos run: its members, its agents, its requests, and the collection of what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import orjson

from contracts.requests.statuses import STATUS_AFTER
from contracts.topics import commands_topic
from tests.chaos.arena import PARTITIONS, Arena, query
from tests.chaos.checker import EVENTS
from tests.chaos.counting_server import CountingServer
from tests.chaos.fleet import Fleet
from tests.chaos.publisher import Publisher
from tests.chaos.workflow_checker import ENDED, WAITING, FleetRun, LedgerRow, RequestEnd, TaskEnd
from tests.chaos.workload import TENANT, Sent

AGENT_CLASSES = tuple(f"tests.chaos.agents:{name}" for name in ("CountedTriage", "CountedResearch", "PayingResolution"))
KINDS = ("triage", "research", "resolution")
# Few slots: each run of a host that is killed may have a model call under way.
AGENTS_OF_A_KIND = 3
LIMIT = 2
WORKERS = {
    "requests-1": ("requests",),
    "requests-2": ("requests",),
    "tasks-1": ("tasks",),
    "tasks-2": ("tasks",),
    "directory-1": ("agents", "customers", "tenants"),
    "workflow-1": ("requests-process", "dispatcher", "scheduler"),
    "workflow-2": ("requests-process", "dispatcher", "scheduler"),
    "relay-1": ("relay",),
    "projections-1": ("projections",),
}
# Each process carries a host of each kind, as the fleet of `agentmesh up` does.
HOSTS = ("host-1", "host-2")
ALL = (*WORKERS, *HOSTS)
MESSAGES = (
    ("My invoice of May shows a booking that I do not know.", "billing"),
    ("The app crashes every time I open it.", "technical"),
    ("I forgot my password and cannot log in.", "account"),
    ("Can I import my contacts from an Excel file?", "product"),
)
REFUNDS = (
    "I would like a refund: please pay my money back for the order that I returned.",
    "Please refund the amount of my last order, the goods are faulty and I want my money back.",
)
REFUND_SHARE = 0.3
FINAL_EVENTS = {"RequestCompleted": "completed", "RequestFailed": "failed", "RequestRejected": "rejected", "RequestDeleted": "deleted"}
STATUS = {event.__name__: status.value for event, status in STATUS_AFTER.items()}
APPROVE, REJECT, LEAVE = "approve", "reject", "leave"


def start(fleet: Fleet) -> None:
    """Every member of the fleet."""
    for name, workers in WORKERS.items():
        fleet.start(name, "run", *workers)
    for name in HOSTS:
        fleet.start(name, "run", "agent-host", *AGENT_CLASSES)


def _record(type_name: str, aggregate_id: str, payload: dict[str, Any]) -> Sent:
    command_id = str(uuid.uuid4())
    headers = [("ce_id", command_id.encode()), ("ce_type", type_name.encode()), ("ce_source", b"/tests/chaos")]
    headers += [("ce_authtype", b"user"), ("ce_authid", b"paula")]
    return Sent(aggregate_id, command_id, EVENTS, json.dumps({"tenant_id": TENANT, **payload}).encode(), headers)


async def register_agents(arena: Arena) -> None:
    """Some agents of each kind."""
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("agents")), PARTITIONS)
    records = []
    for kind in KINDS:
        for number in range(AGENTS_OF_A_KIND):
            agent_id = f"agent-{kind}-{number}"
            payload = {"agent_id": agent_id, "name": agent_id, "kind": kind, "limit": LIMIT, "capabilities": [{"name": kind, "level": 3}]}
            records.append(_record("agentmesh.agents.RegisterAgent.v1", agent_id, payload))
    await publisher.publish(records)
    await publisher.close()


def requests(count: int, seed: int) -> list[Sent]:
    """Requests of all kinds; refunds, and whatever triage is not sure of, wait for a person."""
    pick = random.Random(seed)
    made = []
    for _ in range(count):
        request_id = f"req-{uuid.UUID(int=pick.getrandbits(128), version=4)}"
        refund = pick.random() < REFUND_SHARE
        message, category = (pick.choice(REFUNDS), "refund") if refund else pick.choice(MESSAGES)
        payload = {
            "metadata": {"amount": f"{pick.randrange(10, 900)}.50", "currency": "USD"} if refund else {},
            "request_id": request_id,
            "customer_id": f"cust-{pick.randrange(500):04}",
            "message": message,
            "category": category,
            "priority": pick.randint(2, 3),
        }
        made.append(_record("agentmesh.requests.CreateRequest.v1", request_id, payload))
    return made


def decision_on(request_id: str) -> str:
    """What the person of this run does about a request that waits for one."""
    return (APPROVE, APPROVE, REJECT, LEAVE)[int(request_id[-1], 16) % 4]


async def decide(arena: Arena, over: asyncio.Event) -> int:
    """Approve and reject what waits, while others kill; answers how many decisions were published."""
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    decided: set[str] = set()
    while not over.is_set():
        rows = await query(arena, "SELECT request_id FROM read_requests.requests WHERE status = %(waiting)s", {"waiting": WAITING})
        for request_id in {request_id for (request_id,) in rows} - decided:
            decided.add(request_id)
            order = decision_on(request_id)
            if order != LEAVE:
                name = "ApproveRequest" if order == APPROVE else "RejectRequest"
                payload = {"request_id": request_id, "reason": "as the customer asked"}
                await publisher.publish([_record(f"agentmesh.requests.{name}.v1", request_id, payload)])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.3)
    await publisher.close()
    return len(publisher.journal)


async def at_rest(arena: Arena, accepted: Iterable[str], seconds: float) -> float | None:
    """Wait until each request has ended, or waits for a person who leaves it so, in store and read model alike; the seconds, or None."""
    wanted = set(accepted)
    started = time.monotonic()
    text = """
        SELECT r.request_id, r.status FROM read_requests.requests r
        WHERE r.version = (SELECT max(originator_version) FROM requests.stored_events WHERE originator_id = r.request_id)"""
    while time.monotonic() - started < seconds:
        rows = await query(arena, text)
        resting = {each for each, status in rows if status in ENDED or (status == WAITING and decision_on(each) == LEAVE)}
        if wanted <= resting:
            return time.monotonic() - started
        await asyncio.sleep(0.25)
    return None


async def collect_fleet(arena: Arena, accepted: list[str], server: CountingServer, fleet: Fleet) -> FleetRun:
    """Read everything, by plain SQL, and what the servers counted."""
    tasks, task_events, paid = await _tasks(arena)
    ledger = await query(arena, "SELECT effect_id, name, status, calls FROM mesh.effects")
    rows = await query(arena, "SELECT request_id, status, version FROM read_requests.requests")
    parked = [
        f"{context}: {error}"
        for context in ("requests", "tasks", "agents")
        for (error,) in await query(arena, f"SELECT error_type || ': ' || error_message FROM {context}.dead_letters")
    ]
    parked += [f"an event: {error}" for (error,) in await query(arena, "SELECT error_type FROM mesh.parked_events")]
    return FleetRun(
        accepted=accepted,
        requests=await _requests(arena),
        rows={request_id: (status, version) for request_id, status, version in rows},
        tasks=tasks,
        parked=parked,
        ledger={effect_id: LedgerRow(name, status, calls) for effect_id, name, status, calls in ledger},
        payments=dict(server.calls["payment"]),
        refunds=dict(server.calls["refunds"]),
        approved_refunds=await _approved_refunds(arena),
        model_calls=dict(server.calls["model"]),
        paid_steps=paid,
        # A process carries a host of each kind.
        host_kills=fleet.kills["host"] * len(KINDS),
        figures={
            "reassignments": task_events["TaskReassigned"],
            "timeouts": task_events["TaskTimedOut"],
            "effects taken from the ledger": sum(row[3] > 1 for row in ledger),
            "redeliveries absorbed, at least": fleet.absorbed,
        },
    )


async def _requests(arena: Arena) -> dict[str, RequestEnd]:
    found: dict[str, RequestEnd] = {}
    text = "SELECT originator_id, originator_version, topic, state FROM requests.stored_events ORDER BY 1, 2"
    for request_id, version, type_name, state in await query(arena, text):
        before = found.get(request_id, RequestEnd("", 0, 0))
        name = type_name.split(".")[-2]
        data = orjson.loads(state)["data"]
        ends = before.ends + (name in FINAL_EVENTS)
        found[request_id] = RequestEnd(STATUS.get(name, before.status), version, ends, str(data.get("reason") or before.reason))
    return found


async def _approved_refunds(arena: Arena) -> int:
    """Requests that completed after the approval of a refund of a known amount."""
    text = """
        SELECT count(*) FROM requests.stored_events a JOIN requests.stored_events c USING (originator_id)
        WHERE a.topic = 'agentmesh.requests.RequestApproved.v1' AND c.topic = 'agentmesh.requests.RequestCompleted.v1'
          AND convert_from(a.state, 'UTF8')::json -> 'data' ->> 'category' = 'refund'
          AND convert_from(a.state, 'UTF8')::json -> 'data' ->> 'financial_impact' IS NOT NULL"""
    ((found,),) = await query(arena, text)
    return int(found)


async def _tasks(arena: Arena) -> tuple[dict[str, TaskEnd], Counter[str], int]:
    """Each task, how many events of each name there are, and how many paying steps ended well."""
    names: Counter[str] = Counter()
    streams: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for task_id, type_name, state in await query(
        arena, "SELECT originator_id, topic, state FROM tasks.stored_events ORDER BY 1, originator_version"
    ):
        name = type_name.split(".")[-2]
        names[name] += 1
        streams[task_id].append((name, orjson.loads(state)["data"]))
    tasks = {}
    paid = 0
    for task_id, events in streams.items():
        ends = [data for name, data in events if name == "TaskCompleted"]
        first = events[0][1]
        tasks[task_id] = TaskEnd(first["subject_id"], first["task_type"], max(data.get("attempt", 1) for _, data in events), len(ends))
        paid += first["task_type"] == "resolution" and any(str(data["outcome"]).lower() == "success" for data in ends)
    return tasks, names, paid
