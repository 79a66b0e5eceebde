"""The page of the fleet: the tenant's agents by status, and for who may see the mesh itself its workers, its hosts and how far read models
are."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from contracts.agents.values import AgentKind
from contracts.fleet import HostHeartbeat
from infra.errors import TransientError
from infra.fleet.base import FleetView, WorkerNow, is_silent
from infra.identity.base import Permission, Principal
from projections.agents.queries import SHOWN_STATUSES, FindAgents, agent_counts
from services.gateway.calls import principal_of
from services.gateway.console.page import PAGE_ROWS, Desk, Page, filters, next_page
from services.gateway.console.session import PREFIX
from services.gateway.cursors import after_of, cursor_of
from services.gateway.kept import Kept
from services.gateway.resources.agents import InStatus
from services.gateway.resources.projections import ProjectionRoutes

PATH = f"{PREFIX}/fleet"
KEPT_SECONDS = 3.0
HEALTHY = "healthy"
T = TypeVar("T")


class Which(BaseModel):
    """Which agents are listed."""

    model_config = ConfigDict(frozen=True)

    status: InStatus = None
    kind: AgentKind | None = None
    cursor: str | None = None


class KeptFleet:
    """A view of the fleet that is shown again for a few seconds, so that many who look ask no more than one."""

    def __init__(self, fleet: FleetView, seconds: float = KEPT_SECONDS) -> None:
        self._fleet = fleet
        self._workers: Kept[str, Sequence[WorkerNow]] = Kept(seconds)
        self._hosts: Kept[str, Sequence[HostHeartbeat]] = Kept(seconds)

    async def workers(self) -> Sequence[WorkerNow]:
        """See the port."""
        return await self._workers.get("", self._fleet.workers)

    async def hosts(self) -> Sequence[HostHeartbeat]:
        """See the port."""
        return await self._hosts.get("", self._fleet.hosts)


class FleetPages(Page):
    """Agents are a tenant's; workers and hosts are the mesh's, as read models are. What cannot be asked for is told as that, beside the
    rest: the page is looked at when a server is away. What is not well comes first."""

    def __init__(self, desk: Desk, fleet: FleetView) -> None:
        super().__init__(desk)
        self._fleet = fleet
        self._projections = ProjectionRoutes(desk.parts)

    def router(self) -> APIRouter:
        """The route with its permission."""
        router = APIRouter()
        self.add(router, "GET", PATH, self.all, Permission.AGENT_READ)
        return router

    async def all(self, request: Request) -> Response:
        """The whole fleet."""
        which = filters(Which, request)
        principal = principal_of(request.scope)
        parts = self.desk.parts
        query = FindAgents(
            tenant_id=principal.tenant_id, status=which.status, kind=which.kind, limit=PAGE_ROWS + 1, after=after_of(which.cursor)
        )
        sees_mesh = parts.access.may(principal, Permission.PROJECTION_READ)
        counts, agents, mesh = await asyncio.gather(
            _if_there(agent_counts(parts.reads.of(principal.tenant_id), principal.tenant_id)),
            _if_there(parts.cached.agents(query)),
            self._mesh(principal) if sees_mesh else _nothing(),
        )
        rows = agents or []
        last = rows[PAGE_ROWS - 1] if len(rows) > PAGE_ROWS else None
        return self.show(
            request,
            "fleet.html",
            which=which,
            counts=counts,
            statuses=SHOWN_STATUSES,
            agents=rows[:PAGE_ROWS],
            following=next_page(request, None if last is None else cursor_of((last.created_at, last.agent_id))),
            filtered=which.status is not None or which.kind is not None,
            sees_mesh=sees_mesh,
            machine=platform.node(),
            unknown=counts is None or agents is None,
            **mesh,
        )

    async def _mesh(self, principal: Principal) -> dict[str, Any]:
        workers, hosts, states = await asyncio.gather(
            self._fleet.workers(), _if_there(self._fleet.hosts()), _if_there(self._projections.rows(principal))
        )
        silent = partial(is_silent, now=datetime.now(UTC))
        behind = [state for state in states or () if state.lag != 0 or state.parked]
        return {
            "workers": sorted(workers, key=lambda worker: (_well(worker), worker.name)),
            "unready": sum(not worker.ready for worker in workers),
            "unwell": sum(worker.ready and not _well(worker) for worker in workers),
            "silent": silent,
            "hosts": None if hosts is None else sorted(hosts, key=lambda host: not silent(host)),
            "read_models": None if states is None else len(states),
            "behind": sorted(behind, key=lambda state: (bool(state.contexts), -(state.lag or 0))),
            "lag_unknown": any(state.lag is None and state.contexts for state in behind),
        }


def _well(worker: WorkerNow) -> bool:
    return worker.ready and worker.health == HEALTHY


async def _if_there(asked: Awaitable[T]) -> T | None:
    """What is asked for, or None while its server does not answer."""
    try:
        return await asked
    except TransientError:
        return None


async def _nothing() -> dict[str, Any]:
    return {}
