"""Waits until the read model of a context shows what a command did; used by `publish` and `demo`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from infra.outcomes.waiting import poll
from infra.postgres.base import QueryPort
from projections.agents.queries import agent_version
from projections.customers.queries import customer_version
from projections.requests.queries import request_version
from projections.tasks.queries import task_version
from projections.tenants.queries import tenant_version

# context -> the stream version that its read model shows of an aggregate
SHOWN_VERSIONS: Mapping[str, Callable[[QueryPort, str], Awaitable[int]]] = {
    "requests": request_version,
    "tasks": task_version,
    "agents": agent_version,
    "customers": customer_version,
    "tenants": tenant_version,
}


async def wait_until_shown(port: QueryPort, context: str, aggregate_id: str, version: int, deadline: float) -> int | None:
    """The version that the context's read model shows when it is at least `version`; None when it does not get there by the deadline."""
    shown = SHOWN_VERSIONS[context]

    async def look() -> int | None:
        found = await shown(port, aggregate_id)
        return found if found >= version else None

    return await poll(look, deadline)
