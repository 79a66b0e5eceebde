"""The page of read models: how far each has followed the logs, whether it is complete, and the order that one is built anew."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from infra.identity.base import Permission
from services.gateway.calls import principal_of
from services.gateway.console.page import Desk, Page, asked, new_key
from services.gateway.console.session import PREFIX, Told
from services.gateway.resources.projections import Name, ProjectionRoutes

PATH = f"{PREFIX}/projections"


class ProjectionPages(Page):
    """The mesh's, not a tenant's: it tells nothing of anybody's data."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._projections = ProjectionRoutes(desk.parts)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter()
        self.add(router, "GET", PATH, self.all, Permission.PROJECTION_READ)
        self.add(router, "POST", PATH + "/{name}/rebuild", self.rebuild, Permission.PROJECTION_REBUILD)
        return router

    async def all(self, request: Request) -> Response:
        """All read models; what is not well comes first."""
        rows = await self._projections.rows(principal_of(request.scope))
        rows.sort(key=lambda row: bool(row.contexts) and row.state == "complete")
        return self.show(request, "projections.html", rows=rows, key=new_key())

    async def rebuild(self, request: Request, name: Name) -> Response:
        """Order that a read model is built anew; a worker takes it."""
        order = await self._projections.order(request, name, asked(request).key)
        told = Told("waiting", f"The rebuild of {name} is {order.state}. This page tells how far it is; reads of it do not fail meanwhile.")
        return self.go_on(request, PATH, told)
