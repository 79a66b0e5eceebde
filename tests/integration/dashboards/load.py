"""The load under which the dashboards are judged: everything that operators meet in a week, in seconds, through the API and Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2

from infra.agents.base import Agent
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from tests.integration.agents.test_workflow import register
from tests.integration.dashboards.panel_fleet import LASTING, POISON
from tests.integration.gateway.conftest import AT_ONCE, LIST, PATIENT, Caller, bearer, body
from tests.integration.gateway.following import PATH as EVENTS
from tests.mesh import TENANT, Mesh, create, new_id, wait_for
from tests.model_endpoint import ModelEndpoint, Reply, failing, structured
from tests.proxy import Proxy

LIMITED = "small-tenant"
TENANTS = (TENANT, "acme", "globex")
AGENTS = (TriageAgent, ResearchAgent, ResolutionAgent)
# However slow the machine is: some of everything.
FEWEST = 5
NONSENSE = "Say something that no model understands"
QUESTIONS = (
    ("My invoice of May is wrong", "billing"),
    ("The parcel has not come", None),
    ("I cannot sign in any more", "technical"),
    ("How long is the guarantee?", None),
)
ANSWERS = {
    "category": {"category": "billing", "priority": 3, "confidence": 0.9, "reason": "An invoice is disputed."},
    "search_terms": {"query": "wrong invoice", "search_terms": ["invoice"]},
    "sources": {"text": "We correct your invoice.", "confidence": 0.8, "sources": []},
}


def answering(asked: dict[str, Any]) -> Reply:
    """What a model would say after a moment; nonsense to one question."""
    if NONSENSE in str(asked["messages"]):
        return structured({"weather": "fine"})(asked)
    wanted = str(asked["tools"])
    field = next(name for name in ("search_terms", "sources", "category") if f"'{name}'" in wanted)
    reply = structured(ANSWERS[field], (random.randint(80, 400), random.randint(10, 60)))(asked)
    return Reply(reply.status, reply.body, reply.headers, wait=random.uniform(0.01, 0.08))


class Load:
    """Makes one thing after the other happen; each step waits until it did."""

    def __init__(self, mesh: Mesh, caller: Caller, endpoint: ModelEndpoint, redis: Proxy, mended: Path) -> None:
        self.mesh = mesh
        self.call = caller
        self.endpoint = endpoint
        self.redis = redis
        self.mended = mended
        self.done: list[str] = []
        """What happened, for the report."""
        self._reading: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Agents, tenants, a customer, a reader of events; the model's first answers fail, so that a task is tried again."""
        self.endpoint.script = [failing(503)] * 3
        self.endpoint.then = answering
        for agent in AGENTS:
            await register(self.mesh, agent)
            for tenant in TENANTS[1:]:
                await self._register(agent, tenant)
        small = {"tenant_id": LIMITED, "name": "Small", "settings": {"requests_per_minute": 5}}
        assert (await self.mesh.do_in("tenants", "CreateTenant", LIMITED, small)).kind == "events"
        for number, tier in enumerate(("free", "premium", "enterprise")):
            customer = f"cust-{number:04d}"
            given = {"customer_id": customer, "tier": tier, "name": "Ann"}
            assert (await self.mesh.do_in("customers", "RegisterCustomer", customer, given)).kind == "events"
        self._reading = asyncio.create_task(self._read())

    async def _register(self, agent: type[Agent], tenant: str) -> None:
        agent_id = f"agent-{agent.kind}-{tenant}"
        capabilities = [{"name": name, "level": level} for name, level in agent.capabilities.items()]
        known = {"tenant_id": tenant, "agent_id": agent_id, "name": agent.kind, "kind": agent.kind, "limit": agent.concurrency}
        await self.mesh.publish_to("agents", "RegisterAgent", agent_id, {**known, "capabilities": capabilities})

    async def close(self) -> None:
        """Let the reader of events go."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def usual(self, seconds: float, gap: float) -> None:
        """What happens all day, for so long or a little longer: requests of several tenants, reads, approvals, a caller that is refused."""
        started = time.monotonic()
        number = 0
        while time.monotonic() < started + seconds or number < FEWEST:
            number += 1
            message, category = random.choice(QUESTIONS)
            tenant = random.choice(TENANTS)
            request_id = await self.call.created(tenant=tenant, message=message, category=category, priority=random.randint(1, 4))
            await self.call("GET", f"{LIST}/{request_id}", tenant=tenant)
            await self.call("GET", LIST, tenant=tenant)
            await self.call("GET", f"/api/v1/customers/cust-{number % 3:04d}")
            if number % 4 == 0:
                await self.approval(wait=False)
            if number % 5 == 0:
                await self.refused()
            await asyncio.sleep(random.expovariate(1 / gap) if gap else 0)
        self.done.append(f"{number} requests over the API, with reads between them")

    async def approval(self, *, wait: bool) -> None:
        """A refund: it waits for a person, who approves or rejects unless it shall `wait`."""
        metadata = {"order_id": f"o-{random.randint(1, 999)}", "amount": "99.99", "currency": "EUR"}
        made = {"message": "Please refund my order, it arrived broken", "category": "refund", "metadata": metadata}
        request_id = await self.call.created(**made)

        async def asked() -> bool:
            return "ApprovalRequested" in await self.mesh.stream(request_id)

        await wait_for(asked, 20, f"the question about {request_id}")
        if wait:
            self.done.append("an approval that waits")
            return
        decision = {"approved": random.random() < 0.7, "reason": "Seen the photo"}

        async def decided() -> bool:
            answer = await self.call("POST", f"{LIST}/{request_id}/approve", "manager", json=decision, headers=PATIENT)
            return answer.status_code < 300

        await wait_for(decided, 10, f"the decision on {request_id}")

    async def refused(self) -> None:
        """A wrong password, a role that may not, a caller over its limit, a command that a rule refuses, the same command twice."""
        form = {"grant_type": "password", "username": f"nobody@{TENANT}", "password": "not this one"}
        assert (await self.call.client.post("/api/v1/auth/token", data=form)).status_code == 401
        assert (await self.call("GET", "/api/v1/dead-letters", "customer")).status_code == 403
        request_id = new_id()
        command = await self.mesh.publish("CreateRequest", request_id, create(request_id))
        await self.mesh.publish("CreateRequest", request_id, create(request_id), command_id=command)
        assert (await self.mesh.do("ApproveRequest", request_id, {"reason": "Nobody asked"})).kind == "rejected"

    async def limited(self) -> None:
        """A tenant calls more often than it may."""
        answers = [(await self.call("GET", LIST, tenant=LIMITED)).status_code for _ in range(8)]
        assert 429 in answers
        self.done += ["a refused sign-in, permission, command", "a caller over its limit"]

    async def faults(self) -> None:
        """Poison: two that meet a defect, one that nobody can read; the defect is mended and one requeued. A task that fails for good."""
        nonsense = await self.call.created(message=NONSENSE, category=None)
        poison = [
            (await self.call("POST", LIST, json=body(message=text), headers=AT_ONCE)).json()["request_id"] for text in (POISON, LASTING)
        ]
        await self.mesh.send(self.mesh.commands_topic, b"req-x", b'{"tenant_id": "broken', [("ce_type", b"\xff"), ("ce_id", b"c-x")])
        letters = {letter.aggregate_id: letter for letter in await self.mesh.letters(count=3)}
        self.mended.write_text("mended")
        requeue = f"/api/v1/dead-letters/requests/{letters[poison[0]].position}/requeue"
        assert (await self.call("POST", requeue, json={"reason": "The defect is mended."})).status_code == 200

        async def happened(request_id: str, event: str) -> None:
            await wait_for(self._told(request_id, event), 30, f"{event} of {request_id}")

        await happened(poison[0], "RequestCreated")
        await happened(nonsense, "RequestFailed")
        self.done += ["two poison messages and one that nobody can read", "a dead letter requeued", "a task retried, a request failed"]

    def _told(self, request_id: str, event: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return event in await self.mesh.stream(request_id)

        return look

    async def redis_away(self) -> None:
        """Redis is cut off until the gateway's circuits are open."""
        self.redis.cut()
        for _ in range(8):
            await self.call("GET", "/api/v1/customers/cust-0001")
        self.done.append("an open circuit: Redis cut off")

    async def _read(self) -> None:
        """Follow events; leave and come back now and then."""
        while True:
            with contextlib.suppress(TimeoutError, httpx2.HTTPError):
                async with asyncio.timeout(4), self.call.client.stream("GET", EVENTS, headers=bearer("admin")) as answer:
                    async for _ in answer.aiter_raw():
                        pass
