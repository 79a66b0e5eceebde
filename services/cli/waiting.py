"""Waits for what becomes of commands: their recorded outcomes, and the read model that shows them; used by `publish` and `demo`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from contracts.envelope import decode_stored
from contracts.rejections import CommandRejected
from contracts.upcasting import decode_event
from infra.event_store.base import EventStore, Outcome
from infra.postgres.base import QueryPort
from projections.agents.queries import agent_version
from projections.customers.queries import customer_version
from projections.requests.queries import request_version
from projections.tasks.queries import task_version
from projections.tenants.queries import tenant_version

FIRST_WAIT_SECONDS = 0.02
MOST_WAIT_SECONDS = 0.5

T = TypeVar("T")

# context -> the stream version that its read model shows of an aggregate
SHOWN_VERSIONS: Mapping[str, Callable[[QueryPort, str], Awaitable[int]]] = {
    "requests": request_version,
    "tasks": task_version,
    "agents": agent_version,
    "customers": customer_version,
    "tenants": tenant_version,
}


async def poll(look: Callable[[], Awaitable[T | None]], deadline: float) -> T | None:
    """The first answer that is not None, or None at the deadline (of `time.monotonic`); looks ever more rarely."""
    wait = FIRST_WAIT_SECONDS
    while True:
        found = await look()
        left = deadline - time.monotonic()
        if found is not None or left <= 0:
            return found
        await asyncio.sleep(min(wait, left))
        wait = min(wait * 1.3, MOST_WAIT_SECONDS)


async def wait_for_outcome(store: EventStore, aggregate_id: str, command_id: str, deadline: float) -> Outcome | None:
    """The recorded outcome of one command; None when there is none by the deadline."""
    pair = (aggregate_id, command_id)

    async def look() -> Outcome | None:
        return (await store.outcomes([pair])).get(pair)

    return await poll(look, deadline)


async def wait_until_shown(port: QueryPort, context: str, aggregate_id: str, version: int, deadline: float) -> int | None:
    """The version that the context's read model shows when it is at least `version`; None when it does not get there by the deadline."""
    shown = SHOWN_VERSIONS[context]

    async def look() -> int | None:
        found = await shown(port, aggregate_id)
        return found if found >= version else None

    return await poll(look, deadline)


async def rejection_at(store: EventStore, position: int) -> CommandRejected | None:
    """The rejection at a position of the context's log."""
    for entry in await store.read_log(position - 1, 1):
        if entry.position == position and entry.kind == "rejection":
            return decode_rejection(entry.type_name, entry.aggregate_id, entry.state)
    return None


def decode_rejection(type_name: str, aggregate_id: str, state: bytes) -> CommandRejected | None:
    """The rejection in its stored form."""
    _, data = decode_stored(type_name, aggregate_id, state)
    event = decode_event(type_name, data)
    return event if isinstance(event, CommandRejected) else None
