"""The route of read models: how far each has followed the logs, and whether it is complete. They are rebuilt by the CLI."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from infra.identity.base import Permission
from infra.positions.base import ReadModelState
from services.gateway.linked import Link, Linked, json_answer
from services.gateway.openapi import EXAMPLE_TIME, EXAMPLE_URL, Operation, good, refused
from services.gateway.resources.base import Routes

PATH = "/api/v1/projections"


class FollowedContext(BaseModel):
    """One context's log, and up to where it is applied."""

    context: str
    position: str = Field(description="Everything up to here is shown, as `context:position`; it may be more.")
    log_head: str = Field(description="The end of the log.")
    lag: int | None = Field(description="Events that are not applied yet; null while Kafka cannot be asked.")


class Projection(BaseModel):
    """A read model that was built."""

    name: str
    version: int = Field(description="Of the definition that its tables hold.")
    built_at: datetime
    state: Literal["complete", "incomplete"] = Field(description="incomplete: some events could not be applied, and their rows are old.")
    parked: int = Field(description="Events that wait for a defect to be mended, and those behind them.")
    lag: int | None = Field(description="That of its contexts together; null while Kafka cannot be asked.")
    contexts: list[FollowedContext]


class ProjectionList(Linked):
    """All read models, by name."""

    items: list[Projection]


EXAMPLE = {
    "items": [
        {
            "name": "requests",
            "version": 2,
            "built_at": EXAMPLE_TIME,
            "state": "complete",
            "parked": 0,
            "lag": 3,
            "contexts": [{"context": "requests", "position": "requests:4708", "log_head": "requests:4711", "lag": 3}],
        }
    ],
    "_links": {"self": {"href": f"{EXAMPLE_URL}{PATH}", "rel": "self", "method": "GET", "description": None}},
}
LIST = Operation(
    "list_projections",
    "List read models",
    "Every read model with its version, how far it is, and how many events it could not apply. The mesh's, not a tenant's: "
    "it tells nothing of anybody's data. `agentmesh projections rebuild NAME` builds one anew.",
    200,
    {200: good(ProjectionList, "The read models.", EXAMPLE), **refused()},
)


class ProjectionRoutes(Routes):
    """The handler."""

    def router(self) -> APIRouter:
        """The route with its permission."""
        router = APIRouter(prefix=PATH, tags=["projections"])
        self.add(router, "GET", "", self.list_all, Permission.PROJECTION_READ, LIST)
        return router

    async def list_all(self, request: Request) -> Response:
        """All read models."""
        items = [_shown(state) for state in await self.parts.read_models.all()]
        links = {"self": Link(href=self.url(PATH), rel="self")}
        return json_answer(ProjectionList(items=items, links=links).to_json())


def _shown(state: ReadModelState) -> Projection:
    contexts = [
        FollowedContext(
            context=each.context,
            position=f"{each.context}:{each.position}",
            log_head=f"{each.context}:{each.log_head}",
            lag=each.lag,
        )
        for each in state.contexts
    ]
    lags = [each.lag for each in state.contexts]
    return Projection(
        name=state.name,
        version=state.version,
        built_at=state.built_at,
        state="incomplete" if state.parked else "complete",
        parked=state.parked,
        lag=None if None in lags else sum(lag or 0 for lag in lags),
        contexts=contexts,
    )
