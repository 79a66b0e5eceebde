"""The routes of read models: how far each has followed the logs, orders to build one anew, and what became of them; an order is a row that
a worker takes, and no command."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from infra.identity.base import Permission, Principal
from infra.positions.base import ReadModelState
from infra.rebuild_orders.base import Failure, NewOrder, RebuildOrder
from services.gateway.access import forbidden
from services.gateway.bodies import parsed, read_object_if_any
from services.gateway.calls import principal_of
from services.gateway.errors import not_found
from services.gateway.linked import Link, Linked, json_answer
from services.gateway.openapi import EXAMPLE_TIME, EXAMPLE_URL, Operation, good, refused
from services.gateway.orders import ids_of
from services.gateway.parameters import IdempotencyKey
from services.gateway.resources.base import Routes

PATH = "/api/v1/projections"
NAME_PATTERN = r"^[a-z][a-z_]{0,62}$"
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="The read model.")]
OrderId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="The order, a UUID.")]
MESH_ONLY = "A read model is shared by all tenants: only admins of a tenant that runs the mesh may have one built anew."
# What an order's own message may name is of any tenant, so that callers read only what kind of failure it was.
SAID: Mapping[Failure, str] = {
    Failure.DIFFERS: "The rebuilt rows differ from the live ones, so nothing was switched. Which: the log of the projections' worker.",
    Failure.REFUSED: "It could not be built. Why: the log of the projections' worker.",
    Failure.GIVEN_UP: "It was begun again and again, and broken off each time. Why: the log of the projections' worker.",
}


class FollowedContext(BaseModel):
    """One context's log, and up to where it is applied."""

    context: str
    position: str = Field(description="Everything up to here is shown, as `context:position`; it may be more.")
    log_head: str = Field(description="The end of the log.")
    lag: int | None = Field(description="Events that are not applied yet; null while Kafka cannot be asked.")


class RebuildFailure(BaseModel):
    """Why a rebuild failed; the read model shows what it showed before."""

    code: Failure = Field(description="differs: from the live rows; refused: it cannot be built; given_up: it was broken off too often.")
    message: str


class Rebuild(Linked):
    """An order to build a read model anew, and what became of it."""

    order_id: str
    projection: str
    state: Literal["waiting", "running", "done", "failed"]
    ordered_by: str | None = Field(description="Who ordered it; null for callers of another tenant.")
    ordered_at: datetime
    started_at: datetime | None = Field(description="When it was begun, the last time.")
    finished_at: datetime | None
    attempts: int = Field(description="How often it was begun: once more each time its worker died.")
    done: int = Field(description="Positions of the logs that are folded into the new tables.")
    total: int | None = Field(description="Positions that there are to fold; null before it is known.")
    events: int = Field(description="Events among those that are folded.")
    failure: RebuildFailure | None


class Projection(Linked):
    """A read model that was built."""

    name: str
    version: int = Field(description="Of the definition that its tables hold.")
    built_at: datetime
    state: Literal["complete", "incomplete"] = Field(description="incomplete: some events could not be applied, and their rows are old.")
    parked: int = Field(description="Events that wait for a defect to be mended, and those behind them.")
    lag: int | None = Field(description="That of its contexts together; null while Kafka cannot be asked, or nobody follows it yet.")
    contexts: list[FollowedContext] = Field(description="Empty while nobody follows it yet.")
    rebuild: Rebuild | None = Field(description="The order that was placed last; null where there was none.")


class ProjectionList(Linked):
    """All read models, by name."""

    items: list[Projection]


class NoFields(BaseModel):
    """A body that says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_ORDER_ID = "6f0d1a52-3c3b-4b9e-9d51-7e8f9a0b1c2d"
REBUILD = {
    "order_id": _ORDER_ID,
    "projection": "requests",
    "state": "running",
    "ordered_by": "ann",
    "ordered_at": EXAMPLE_TIME,
    "started_at": EXAMPLE_TIME,
    "finished_at": None,
    "attempts": 1,
    "done": 2500,
    "total": 4711,
    "events": 2450,
    "failure": None,
    "_links": {"self": {"href": f"{EXAMPLE_URL}{PATH}/requests/rebuilds/{_ORDER_ID}", "rel": "self", "method": "GET", "description": None}},
}
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
            "rebuild": REBUILD,
            "_links": {
                "rebuild": {
                    "href": f"{EXAMPLE_URL}{PATH}/requests/rebuild",
                    "rel": "rebuild",
                    "method": "POST",
                    "description": "Build it anew.",
                }
            },
        }
    ],
    "_links": {"self": {"href": f"{EXAMPLE_URL}{PATH}", "rel": "self", "method": "GET", "description": None}},
}
LIST = Operation(
    "list_projections",
    "List read models",
    "Every read model with its version, how far it is, how many events it could not apply, and its last rebuild by order. The mesh's, not "
    "a tenant's: it tells nothing of anybody's data.",
    200,
    {200: good(ProjectionList, "The read models.", EXAMPLE), **refused()},
)
ORDER = Operation(
    "rebuild_projection",
    "Have a read model built anew",
    "Orders that a worker of the projections builds the read model anew from the event store, beside the live one, compares the two and "
    "switches; reads and writes go on meanwhile, and nothing half built is ever shown. One rebuild runs at a time in the mesh. Where an "
    "order of this read model waits or runs, it is the answer. " + MESH_ONLY,
    202,
    {
        202: {
            **good(Rebuild, "The order: look at its Location for what becomes of it.", {**REBUILD, "state": "waiting", "started_at": None}),
            "headers": {"Location": {"description": "The order.", "schema": {"type": "string", "format": "uri"}}},
            "links": {
                "get_rebuild": {
                    "operationId": "get_rebuild",
                    "parameters": {"name": "$response.body#/projection", "order_id": "$response.body#/order_id"},
                }
            },
        },
        **refused("RESOURCE_NOT_FOUND", "VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"),
    },
)
GET = Operation(
    "get_rebuild",
    "Read a rebuild",
    "An order to build a read model anew: whether it waits, runs, is done or failed, and how far it is.",
    200,
    {200: good(Rebuild, "The order.", REBUILD), **refused("RESOURCE_NOT_FOUND")},
)


class ProjectionRoutes(Routes):
    """The handlers. They write orders in the database and no event."""

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=PATH, tags=["projections"])
        self.add(router, "GET", "", self.list_all, Permission.PROJECTION_READ, LIST)
        self.add(router, "POST", "/{name}/rebuild", self.rebuild, Permission.PROJECTION_REBUILD, ORDER)
        self.add(router, "GET", "/{name}/rebuilds/{order_id}", self.get, Permission.PROJECTION_READ, GET)
        return router

    async def list_all(self, request: Request) -> Response:
        """All read models."""
        items = await self.rows(principal_of(request.scope))
        links = {"self": Link(href=self.url(PATH), rel="self")}
        return json_answer(ProjectionList(items=items, links=links).to_json())

    async def rows(self, principal: Principal) -> list[Projection]:
        """All read models as they are now, with their last rebuilds."""
        rebuilds = await self.parts.rebuilds.latest()
        return [self._shown(principal, state, rebuilds.get(state.name)) for state in await self.parts.read_models.all()]

    async def rebuild(self, request: Request, name: Name, idempotency_key: IdempotencyKey = None) -> Response:
        """Order that a read model is built anew. One that was ordered under this key, or that is not over, is the answer."""
        self._check_operator(request)
        parsed(NoFields, await read_object_if_any(request))
        shown = await self.order(request, name, idempotency_key)
        return json_answer(shown.to_json(), 202, {"Location": shown.links["self"].href})

    async def order(self, request: Request, name: str, idempotency_key: str | None) -> Rebuild:
        """The order that a read model is built anew. Raises ApiError: 403 for who runs no mesh, 404."""
        self._check_operator(request)
        principal = principal_of(request.scope)
        ids = ids_of(principal, f"{request.method} {request.url.path}", idempotency_key)
        key = ids.command_id if ids.repeatable else None
        order = await self.parts.rebuilds.place(NewOrder(ids.command_id, name, principal.id, principal.tenant_id, key))
        if order is None:
            raise not_found("Projection", name)
        return self._order(principal, order)

    def _check_operator(self, request: Request) -> None:
        principal = principal_of(request.scope)
        if not self.parts.operators.include(principal):
            raise forbidden(request, principal, Permission.PROJECTION_REBUILD, MESH_ONLY)

    async def get(self, request: Request, name: Name, order_id: OrderId) -> Response:
        """What became of an order."""
        order = await self.parts.rebuilds.find(name, order_id)
        if order is None:
            raise not_found("Rebuild", order_id)
        return json_answer(self._order(principal_of(request.scope), order).to_json())

    def _order(self, principal: Principal, order: RebuildOrder) -> Rebuild:
        href = self.url(f"{PATH}/{order.read_model}/rebuilds/{order.order_id}")
        own = order.tenant_id is not None and order.tenant_id == principal.tenant_id
        return Rebuild(
            order_id=order.order_id,
            projection=order.read_model,
            state=order.state.value,
            ordered_by=order.ordered_by if own else None,
            ordered_at=order.ordered_at,
            started_at=order.started_at,
            finished_at=order.finished_at,
            attempts=order.attempts,
            done=order.done,
            total=order.total,
            events=order.events,
            failure=None if order.failure is None else RebuildFailure(code=order.failure, message=SAID[order.failure]),
            links={"self": Link(href=href, rel="self")},
        )

    def _shown(self, principal: Principal, state: ReadModelState, rebuild: RebuildOrder | None) -> Projection:
        lags = [each.lag for each in state.contexts]
        links = {}
        if self.may(principal)(Permission.PROJECTION_REBUILD) and self.parts.operators.include(principal):
            href = self.url(f"{PATH}/{state.name}/rebuild")
            links["rebuild"] = Link(href=href, rel="rebuild", method="POST", description="Build it anew.")
        return Projection(
            name=state.name,
            version=state.version,
            built_at=state.built_at,
            state="incomplete" if state.parked else "complete",
            parked=state.parked,
            lag=None if None in lags or not lags else sum(lag or 0 for lag in lags),
            contexts=[
                FollowedContext(
                    context=each.context,
                    position=f"{each.context}:{each.position}",
                    log_head=f"{each.context}:{each.log_head}",
                    lag=each.lag,
                )
                for each in state.contexts
            ],
            rebuild=None if rebuild is None else self._order(principal, rebuild),
            links=links,
        )
