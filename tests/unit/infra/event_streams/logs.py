"""Logs in memory, as the store's port reads them: what is committed is there, and what is drawn but not committed is not seen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from contracts.envelope import Metadata, RecordedEvent
from contracts.topics import CONTEXTS
from infra.errors import TransientError
from infra.event_streams.tail import SharedTail

TENANT = "test-tenant"
CREATED = "agentmesh.requests.RequestCreated.v1"
UPDATED = "agentmesh.requests.RequestUpdated.v1"


def event(
    context: str, position: int, *, tenant: str = TENANT, aggregate: str = "req-1", type_name: str = UPDATED, data: bytes = b"{}"
) -> RecordedEvent:
    metadata = Metadata(
        f"event-{context}-{position}",
        type_name,
        f"/agentmesh/{context}",
        aggregate,
        "2026-05-04T12:00:00Z",
        tenant,
        "user",
        "ann",
        "c",
        "k",
    )
    return RecordedEvent(metadata, data, 1, position, context)


class Log:
    """One context's log. A position without an event is one of a rejection."""

    def __init__(self, context: str) -> None:
        self.context = context
        self.events: list[RecordedEvent] = []
        self.head = 0
        self.reads: list[int] = []
        self.away = False
        self.pause = 0.0

    def append(self, count: int = 1, **more: Any) -> None:
        for _ in range(count):
            self.head += 1
            self.events.append(event(self.context, self.head, **more))

    def reject(self) -> None:
        self.head += 1

    async def read_events(self, after: int, limit: int) -> tuple[list[RecordedEvent], int]:
        self.reads.append(after)
        if self.away:
            raise TransientError("away")
        found = [each for each in self.events if after < each.position <= after + limit]
        through = max(after, min(self.head, after + limit))
        await asyncio.sleep(self.pause)  # what is committed meanwhile is not in the answer
        return found, through

    async def read_stream(self, aggregate_id: str, after_version: int = 0) -> list[RecordedEvent]:
        self.reads.append(-1)
        if self.away:
            raise TransientError("away")
        return [each for each in self.events if each.aggregate_id == aggregate_id]


class Logs:
    """All logs, and the tail on them."""

    def __init__(self, *, page: int = 5, queue_events: int = 1_000) -> None:
        self.logs = {context: Log(context) for context in CONTEXTS}
        stores: Any = self.logs
        self.tail = SharedTail(stores, self, poll_seconds=0.001, queue_events=queue_events, page=page)
        self.looks = 0

    def __getitem__(self, context: str) -> Log:
        return self.logs[context]

    async def look(self) -> Mapping[str, int]:
        self.looks += 1
        if any(log.away for log in self.logs.values()):
            raise TransientError("away")
        found = {context: log.head for context, log in self.logs.items()}
        await asyncio.sleep(0)
        return found
