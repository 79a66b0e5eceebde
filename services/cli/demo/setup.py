"""What has to be there before a demo's requests come: agents of each kind, customers of each tier, articles; commands and documents out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle

from contracts.agents.commands import RegisterAgent
from contracts.customers.commands import RegisterCustomer
from contracts.customers.values import CustomerTier
from infra.kafka.producer import PagePublisher
from infra.knowledge.files import documents_in
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.postgres import PostgresKnowledgeBase
from infra.settings import MeshSettings
from services.cli.agent_classes import agent_class
from services.cli.demo import texts
from services.cli.demo.plan import CUSTOMERS, customer_id
from services.cli.errors import NoAnswer
from services.cli.fleet import BUILT_IN_AGENTS
from services.cli.mesh import Mesh
from services.cli.publishing import OutgoingCommand, outgoing_command

AGENTS_OF_A_KIND = 2
# One in ten is of a tier whose requests always wait for a person.
TIERS = (*(CustomerTier.STANDARD, CustomerTier.PREMIUM, CustomerTier.FREE) * 3, CustomerTier.ENTERPRISE)
WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.05


def registrations(settings: MeshSettings) -> Iterator[OutgoingCommand]:
    """Each tenant's agents and customers. They are the same in every demo, so that making them known again changes nothing."""
    for tenant in texts.TENANTS:
        for found in map(agent_class, BUILT_IN_AGENTS):
            for number in range(1, AGENTS_OF_A_KIND + 1):
                agent_id = f"demo-{tenant}-{found.kind}-{number}"
                payload = {
                    "tenant_id": tenant,
                    "agent_id": agent_id,
                    "name": f"{found.kind.title()} {number}",
                    "kind": found.kind,
                    "capabilities": [{"name": name, "level": level} for name, level in found.capabilities.items()],
                    "limit": found.concurrency,
                }
                yield outgoing_command(settings, RegisterAgent, payload)
        for number, tier in zip(range(1, CUSTOMERS + 1), cycle(TIERS), strict=False):
            customer = {"tenant_id": tenant, "customer_id": customer_id(tenant, number), "tier": tier.value}
            yield outgoing_command(settings, RegisterCustomer, customer)


async def prepare(mesh: Mesh) -> tuple[int, int]:
    """Make everything known and wait for its outcomes; answers how many commands and how many articles. Raises NoAnswer."""
    outgoing = list(registrations(mesh.settings))
    publisher = PagePublisher(mesh.settings, mesh.settings.kafka_bootstrap, "agentmesh-demo")
    try:
        await publisher.publish([each.record for each in outgoing])
    finally:
        await publisher.close()
    articles = await _add_articles(mesh)
    deadline = time.monotonic() + WAIT_SECONDS
    for context in {each.context for each in outgoing}:
        missing = [(each.aggregate_id, each.command_id) for each in outgoing if each.context == context]
        while missing:
            found = await mesh.stores[context].outcomes(missing)
            missing = [pair for pair in missing if pair not in found]
            if missing and time.monotonic() > deadline:
                raise NoAnswer(f"{len(missing)} agents or customers have no outcome after {WAIT_SECONDS:g} s. See: agentmesh ps")
            await asyncio.sleep(LOOK_SECONDS)
    return len(outgoing), articles


async def _add_articles(mesh: Mesh) -> int:
    from importlib.resources import as_file, files

    knowledge = PostgresKnowledgeBase(mesh.database, LocalEmbedding())
    with as_file(files("services.support_agents") / "knowledge") as folder:
        documents = documents_in([folder])
    for tenant in texts.TENANTS:
        await knowledge.add(tenant, documents)
    return len(documents)
