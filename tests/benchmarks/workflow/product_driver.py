"""Drives the product: CreateRequest commands over Kafka, their end seen in the read model of requests; registers the agents first."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import psycopg
from aiokafka import AIOKafkaProducer
from uvloop import new_event_loop

from contracts.agents.commands import RegisterAgent
from contracts.topics import commands_topic
from infra.settings import load_settings
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from tests.benchmarks.load import BATCH_BYTES, HEADERS_AFTER_ID, Batches, request_id
from tests.benchmarks.workflow.cases import SEED, TENANT, case
from tests.benchmarks.workflow.drivers import Contender, drive

AGENTS_OF_A_KIND = 20
KNOWN_SECONDS = 60.0
# `pending` and the like are under way; whatever else is not `completed` should not have come of these requests.
UNDER_WAY = ("pending", "triaged", "in_progress")
ENDED = "SELECT request_id, status FROM read_requests.requests WHERE request_id = ANY (%s) AND status <> ALL (%s)"


class Fleet(Contender):
    """The whole fleet behind its topics."""

    def __init__(self) -> None:
        self._settings = load_settings()

    async def start(self) -> None:
        """See the base."""
        settings = self._settings
        self._topic = settings.topic_prefix + commands_topic("requests")
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap, acks="all", max_batch_size=BATCH_BYTES, max_request_size=1_048_576, linger_ms=0
        )
        await self._producer.start()
        self._batches = Batches(self._producer, settings.partitions)
        self._connection = await psycopg.AsyncConnection.connect(settings.postgres_dsn, autocommit=True)
        await self._register()

    async def _register(self) -> None:
        topic = self._settings.topic_prefix + commands_topic("agents")
        for agent in (TriageAgent, ResearchAgent, ResolutionAgent):
            for number in range(AGENTS_OF_A_KIND):
                agent_id = f"agent-{agent.kind}-{number}"
                payload = {
                    "tenant_id": TENANT,
                    "agent_id": agent_id,
                    "name": agent_id,
                    "kind": agent.kind,
                    "capabilities": [{"name": name, "level": level} for name, level in agent.capabilities.items()],
                    "limit": agent.concurrency,
                }
                headers = [("ce_id", agent_id.encode()), ("ce_type", RegisterAgent.type_name.encode())]
                await self._producer.send(topic, json.dumps(payload).encode(), key=agent_id.encode(), headers=headers)
        await self._producer.flush()
        deadline = time.monotonic() + KNOWN_SECONDS
        while (await (await self._connection.execute("SELECT count(*) FROM read_agents.agents")).fetchone() or (0,))[
            0
        ] < 3 * AGENTS_OF_A_KIND:
            if time.monotonic() > deadline:
                raise RuntimeError("the agents did not become known")
            await asyncio.sleep(0.05)

    async def submit(self, numbers: Sequence[int]) -> list[str]:
        """See the base."""
        ids = []
        for number in numbers:
            key = request_id(SEED, number)
            message, category = case(number)
            payload = {
                "tenant_id": TENANT,
                "request_id": key,
                "customer_id": f"cust-{number % 10_000:04d}",
                "message": message,
                "category": category,
                "metadata": {"channel": "mail"},
            }
            self._batches.add(key.encode(), json.dumps(payload).encode(), [("ce_id", b"c" + key[5:].encode()), *HEADERS_AFTER_ID])
            ids.append(key)
        await self._batches.send(self._topic)
        return ids

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """See the base."""
        rows = await (await self._connection.execute(ENDED, (list(ids), list(UNDER_WAY)), prepare=True)).fetchall()
        for identity, status in rows:
            if status != "completed":
                raise RuntimeError(f"request {identity} ended as {status}")
        return {identity for identity, _ in rows}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(drive(Fleet()))
