"""The page of the fleet: the tenant's agents by status, and for who may see the mesh itself its workers, its hosts and how far read models
are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

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
    """Agents are a tenant's; workers and hosts are the mesh's, as read models are."""

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
            agent_counts(parts.reads.of(principal.tenant_id), principal.tenant_id),
            parts.cached.agents(query),
            self._mesh(principal) if sees_mesh else _nothing(),
        )
        last = agents[PAGE_ROWS - 1] if len(agents) > PAGE_ROWS else None
        return self.show(
            request,
            "fleet.html",
            which=which,
            counts=counts,
            statuses=SHOWN_STATUSES,
            agents=agents[:PAGE_ROWS],
            following=next_page(request, None if last is None else cursor_of((last.created_at, last.agent_id))),
            filtered=which.status is not None or which.kind is not None,
            sees_mesh=sees_mesh,
            silent=partial(is_silent, now=datetime.now(UTC)),
            **mesh,
        )

    async def _mesh(self, principal: Principal) -> dict[str, Any]:
        workers, hosts, states = await asyncio.gather(self._fleet.workers(), self._hosts_if_any(), self._projections.rows(principal))
        lags = [state.lag for state in states]
        behind = sorted((state for state in states if state.lag or state.parked), key=lambda state: -(state.lag or 0))
        return {"workers": workers, "hosts": hosts, "read_models": len(states), "behind": behind, "lag_unknown": None in lags}

    async def _hosts_if_any(self) -> Sequence[HostHeartbeat] | None:
        """The hosts, or None while the broker cannot be asked."""
        try:
            return await self._fleet.hosts()
        except TransientError:
            return None


async def _nothing() -> dict[str, Any]:
    return {"workers": (), "hosts": (), "read_models": 0, "behind": (), "lag_unknown": False}
