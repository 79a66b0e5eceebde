"""A log that many write to and readers who follow it over HTTP, cut off again and again; judged by what the store holds in the end."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence

import httpx2

from contracts.envelope import Metadata, encode_stored
from infra.event_store.base import AggregateAppend, NewEvent, NewOutcome, OutcomeKind
from infra.event_store.postgres import append_parameters
from tests.event_stream import Parser, Received
from tests.integration.gateway.conftest import bearer
from tests.mesh import TENANT, Mesh

PATH = "/api/v1/events"
CREATED = "agentmesh.requests.RequestCreated.v1"
TYPES = {
    "requests": (CREATED, "agentmesh.requests.RequestUpdated.v1"),
    "tasks": ("agentmesh.tasks.TaskQueued.v1", "agentmesh.tasks.TaskStarted.v1"),
}
CONTEXTS = tuple(TYPES)


def new_stream(context: str, count: int, tenant: str = TENANT, customer: str = "cust-0042") -> AggregateAppend:
    """A new aggregate with so many events, as one command's outcome."""
    aggregate_id = f"{context[:3]}-{uuid.uuid4()}"
    append = AggregateAppend(aggregate_id, 0)
    first, later = TYPES[context]
    for number in range(count):
        type_name = later if number else first
        named = (aggregate_id, "2026-05-04T12:00:00Z", tenant, "user", "ann", "correlation", "causation")
        metadata = Metadata(f"{aggregate_id}-{number}", type_name, f"/agentmesh/{context}", *named)
        append.events.append(
            NewEvent(type_name, encode_stored(metadata, b'{"customer_id":"%s","number":%d}' % (customer.encode(), number)))
        )
    append.outcomes.append(NewOutcome(f"command-{aggregate_id}", OutcomeKind.EVENTS, None, count, count, 0, b"12345678"))
    return append


class Writers:
    """Append to the store's own tables by its own statement until `enough` is set; some transactions commit late."""

    def __init__(self, mesh: Mesh, seed: int, *, pause: float) -> None:
        self._mesh = mesh
        self._seed = seed
        self._pause = pause
        self.enough = asyncio.Event()
        self.written = 0
        self.late = 0

    async def run(self, number: int) -> None:
        chance = random.Random(self._seed * 100 + number)
        while not self.enough.is_set():
            context = chance.choice(CONTEXTS)
            batch = [
                new_stream(context, chance.randint(1, 4), chance.choice((TENANT, TENANT, "other"))) for _ in range(chance.randint(1, 3))
            ]
            if chance.random() < 0.1:
                await self._late(context, batch, chance.uniform(0.01, 0.1))
            else:
                assert not await self._mesh.store_of(context).append(batch)
            self.written += sum(len(each.events) for each in batch)
            await asyncio.sleep(chance.uniform(0, 2 * self._pause))

    async def _late(self, context: str, batch: Sequence[AggregateAppend], seconds: float) -> None:
        """Positions are drawn, and the transaction stays open for a while."""
        sql = self._mesh.store_of(context)._sql["append"]
        async with self._mesh.database.pool.connection() as connection, connection.transaction():
            await connection.execute(sql, append_parameters(batch))
            await asyncio.sleep(seconds)
        self.late += 1


class Follower:
    """One reader. It remembers the id of the last whole event and nothing else between two connections."""

    def __init__(self, url: str, query: str, role: str, seed: int) -> None:
        self.received: dict[str, list[int]] = {context: [] for context in CONTEXTS}
        self.closings: list[str] = []
        self.cuts = 0
        self.connections = 0
        self.last_id = ""
        self.wanted = False
        self._url = f"{url}{PATH}{query}"
        self._role = role
        self._chance = random.Random(seed)

    async def run(self) -> None:
        async with httpx2.AsyncClient(timeout=httpx2.Timeout(5, read=30)) as client:
            while True:
                try:
                    await self._once(client)
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)

    async def _once(self, client: httpx2.AsyncClient) -> None:
        headers = {**bearer(self._role), **({"Last-Event-ID": self.last_id} if self.last_id else {})}
        parser = Parser(self.last_id)
        async with client.stream("GET", self._url, headers=headers) as answer:
            if answer.status_code == 503:
                await asyncio.sleep(0.1)
                return
            assert answer.status_code == 200, await answer.aread()
            self.connections += 1
            async for piece in answer.aiter_raw():
                cut, self.wanted = self.wanted, False
                # Cut off somewhere inside of what comes: an event that is not whole was not received.
                self._take(parser, piece[: self._chance.randrange(len(piece))] if cut else piece)
                if cut:
                    self.cuts += 1
                    return

    def _take(self, parser: Parser, piece: bytes) -> None:
        for event in parser.feed(piece):
            self._keep(event)
        self.last_id = parser.last_id

    def _keep(self, event: Received) -> None:
        if event.event == "closing":
            self.closings.append(event.data["reason"])
            return
        assert event.data["tenantid"] == TENANT
        self.received[event.data["source"].rsplit("/", 1)[1]].append(int(event.data["position"]))


async def stored(mesh: Mesh, contexts: Sequence[str] = CONTEXTS, types: Sequence[str] = ()) -> dict[str, list[int]]:
    """The positions of the tenant's events, by context, as the store has them."""
    found = {}
    for context in contexts:
        events, after = [], 0
        while (page := await mesh.store_of(context).read_events(after, 5_000))[1] > after:
            events += page[0]
            after = page[1]
        found[context] = [
            each.position for each in events if each.metadata.tenant_id == TENANT and (not types or each.metadata.type_name in types)
        ]
    return found
