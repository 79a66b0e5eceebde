"""How every kind of thing is read and changed over HTTP: a call that is signed in and permitted in, an answer from the read model or from
a command's outcome out; the resources beside this file fill in what differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from contracts.message import Command
from infra.dead_letters.base import LettersOfTenants
from infra.identity.base import Permission, Principal
from infra.positions.base import Positions, ReadModelStates
from infra.postgres.base import QueryPort, TenantReads
from infra.rebuild_orders.base import RebuildOrders
from services.gateway.access import Access
from services.gateway.cached_reads import CachedReads
from services.gateway.calls import call_of, principal_of
from services.gateway.cursors import After, after_of, cursor_of
from services.gateway.errors import not_found
from services.gateway.freshness import HEADERS, Freshness, told
from services.gateway.linked import Accepted, Link, Linked, May, Page, json_answer, query_text
from services.gateway.openapi import Operation
from services.gateway.operators import Operators
from services.gateway.orders import Ids, Order, Orders, Settled, applied_preference, ids_of, waiting_time
from services.gateway.parameters import DEFAULT_PAGE, NEWEST, OLDEST
from services.gateway.settings import GatewaySettings


def is_fresh(request: Request) -> bool:
    """Whether the answer must come from the read model: the caller names a position that it is to show."""
    return "min_position" in request.query_params


class Shown(Protocol):
    """A row of a read model with one row for each aggregate."""

    @property
    def version(self) -> int: ...
    @property
    def position(self) -> int: ...


V = TypeVar("V", bound=Shown)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes of every resource need."""

    settings: GatewaySettings
    access: Access
    reads: TenantReads
    orders: Orders
    cached: CachedReads
    positions: Positions
    letters: LettersOfTenants
    read_models: ReadModelStates
    rebuilds: RebuildOrders
    operators: Operators


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing: what errors call it, where it is found, and which aggregate and read model stand behind it."""

    name: str
    path: str
    id_field: str
    context: str
    read_model: str


@dataclass(frozen=True, slots=True)
class Asked:
    """How a caller wants a command carried out: headers of the call, and the status that tells of success."""

    key: str | None
    prefer: str | None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Listed:
    """Which page of a list a caller wants: rows in order of time, after those that a cursor stands for."""

    limit: int
    cursor: str | None
    sort: str = NEWEST

    @property
    def oldest_first(self) -> bool:
        """Whether the list begins with what is oldest."""
        return self.sort == OLDEST

    @property
    def after(self) -> After | None:
        """The last row of the page before. Raises ApiError, 422, for what is no cursor."""
        return after_of(self.cursor)

    def query(self) -> dict[str, Any]:
        """The query as links repeat it: what is as by default is left out."""
        return {"sort": None if self.sort == NEWEST else self.sort, "limit": None if self.limit == DEFAULT_PAGE else self.limit}


class Routes(ABC):
    """Some routes of the API, each with its permission and its place in the document."""

    read_models: ClassVar[tuple[str, ...]] = ()
    """What the routes of this class show, unless a route says otherwise."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    @abstractmethod
    def router(self) -> APIRouter:
        """The routes with their permissions."""

    def add(
        self,
        router: APIRouter,
        method: str,
        path: str,
        handler: Any,
        permission: Permission,
        said: Operation,
        *,
        read_models: tuple[str, ...] | None = None,
        shown: bool = True,
    ) -> None:
        """Add one route. A GET waits for its read models where the call names a position: those of the class, unless it has others.
        `shown` is False for a route that the document does not name."""
        waits: list[Any] = []
        responses = said.responses
        read = self.read_models if read_models is None else read_models
        if method == "GET" and read:
            handler = told(handler)
            waits = [Depends(self.freshness(router.prefix + path, read).wait)]
            responses = {**responses, 200: {**responses[200], "headers": {**HEADERS, **responses[200].get("headers", {})}}}
        router.add_api_route(
            path,
            handler,
            methods=[method],
            operation_id=said.id,
            summary=said.summary,
            description=f"{said.description}\n\nPermission: `{permission.value}`.",
            status_code=said.status,
            responses=responses,
            openapi_extra=said.extra,
            include_in_schema=shown,
            dependencies=[Depends(self.parts.access.requires(permission).check), *waits],
        )

    def freshness(self, path: str, read_models: tuple[str, ...]) -> Freshness:
        """What a route that shows these read models waits for."""
        return Freshness(self.parts.positions, self.parts.settings, read_models)

    def reads(self, principal: Principal) -> QueryPort:
        """Reads of the caller's tenant."""
        return self.parts.reads.of(principal.tenant_id)

    def may(self, principal: Principal) -> May:
        """What the caller's role allows."""
        return partial(self.parts.access.may, principal)

    def url(self, path: str) -> str:
        """The full URL of a path of the API."""
        return self.parts.settings.url + path


class Resource(Routes, Generic[V]):
    """One kind of thing. A subclass names the kind and tells how one is found and represented."""

    kind: ClassVar[Kind]

    @abstractmethod
    async def find(self, principal: Principal, id_: str) -> V | None:
        """The row with this id, or None when the caller's tenant has none."""

    async def found(self, principal: Principal, id_: str) -> V | None:
        """The same, from the cache where the kind is cached: it may be a little older than the row."""
        return await self.find(principal, id_)

    @abstractmethod
    def represent(self, view: V, principal: Principal) -> Linked:
        """The thing as this caller reads it."""

    def freshness(self, path: str, read_models: tuple[str, ...]) -> Freshness:
        """A route below one thing waits for the events of that thing only."""
        id_field = self.kind.id_field if f"{{{self.kind.id_field}}}" in path else ""
        return Freshness(self.parts.positions, self.parts.settings, read_models, self.kind.context, id_field)

    def check_visible(self, request: Request, principal: Principal, view: V) -> bool:
        """Whether this caller sees it. By default whoever may call the route does. May raise ApiError, 403."""
        return True

    def gone(self, view: V) -> bool:
        """Whether the thing counts as not there any more, for everybody."""
        return False

    def body(self, view: V, principal: Principal) -> bytes:
        """The body of an answer that shows one thing."""
        return self.represent(view, principal).to_json()

    def url_of(self, id_: str) -> str:
        """The URL of one thing."""
        return self.url(f"{self.kind.path}/{id_}")

    # --- reads --------------------------------------------------------------------------------------------------------

    async def visible(self, request: Request, id_: str, *, fresh: bool = False) -> V:
        """The thing, where this caller may see it; else 404, which tells nobody whether there is one. `fresh`: past the cache."""
        principal = principal_of(request.scope)
        view = await (self.find if fresh or is_fresh(request) else self.found)(principal, id_)
        if view is None or self.gone(view) or not self.check_visible(request, principal, view):
            raise not_found(self.kind.name, id_)
        return view

    def shown(self, request: Request, view: V, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """The answer that shows one thing. Its version is the ETag."""
        body = self.body(view, principal_of(request.scope))
        return json_answer(body, status, {**(headers or {}), "ETag": f'"{view.version}"'})

    def listed(
        self, request: Request, found: Sequence[V], asked: Listed, filters: Mapping[str, Any], page: type[Page[Any]], time: str
    ) -> Response:
        """The answer that shows a page. `found` has one row more than was asked for where there are more; `time` is the column by which
        the list is ordered, beside the id."""
        principal = principal_of(request.scope)
        url = self.url(self.kind.path)
        query = {**filters, **asked.query()}
        links = {"self": Link(href=url + query_text({**query, "cursor": asked.cursor}), rel="self")}
        headers = {}
        cursor = None
        if len(found) > asked.limit:
            last = found[asked.limit - 1]
            cursor = cursor_of((getattr(last, time), getattr(last, self.kind.id_field)))
            links["next"] = Link(href=url + query_text({**query, "cursor": cursor}), rel="next")
            headers["Link"] = f'<{links["next"].href}>; rel="next"'
        items = [self.represent(view, principal) for view in found[: asked.limit]]
        return json_answer(page(items=items, next_cursor=cursor, links=links).to_json(), 200, headers)

    # --- commands -----------------------------------------------------------------------------------------------------

    async def create(self, request: Request, id_: str, ids: Ids, command: type[Command], value: bytes, asked: Asked) -> Response:
        """Carry out a command that begins an aggregate."""
        order = self._order(id_, ids, command, value, asked)
        settled = await self.parts.orders.repeated(order)
        if settled is None:
            settled = await self.parts.orders.carry_out(call_of(request.scope), principal_of(request.scope), order)
        await self._forget(request, order, settled)
        return await self._answer(request, order, settled, asked)

    async def change(self, request: Request, id_: str, command: type[Command], value: bytes, asked: Asked) -> Response:
        """Carry out a command about a thing that is there, and answer."""
        return await self._answer(request, *await self.changed(request, id_, command, value, asked), asked)

    async def changed(self, request: Request, id_: str, command: type[Command], value: bytes, asked: Asked) -> tuple[Order, Settled]:
        """Carry out a command about a thing that is there; what became of it. One that was carried out under this key is not again.
        Raises ApiError for a refusal and for what is not there, TransientError when the broker did not acknowledge."""
        # The type too: one route decides both ways, and a key that approved must not answer for a rejection.
        ids = ids_of(principal_of(request.scope), f"{request.method} {request.url.path} {command.type_name}", asked.key)
        order = self._order(id_, ids, command, value, asked)
        settled = await self.parts.orders.repeated(order)
        if settled is None:
            await self._check_there(request, id_)
            settled = await self.parts.orders.carry_out(call_of(request.scope), principal_of(request.scope), order)
        await self._forget(request, order, settled)
        return order, settled

    def tenant(self, request: Request) -> dict[str, str]:
        """The field of every command that the gateway sets: the tenant is the token's (TEN-02)."""
        return {"tenant_id": principal_of(request.scope).tenant_id}

    def fixed(self, request: Request, id_: str) -> dict[str, str]:
        """The fields that the gateway sets of a command about one thing."""
        return {**self.tenant(request), self.kind.id_field: id_}

    def _order(self, id_: str, ids: Ids, command: type[Command], value: bytes, asked: Asked) -> Order:
        return Order(
            self.kind.context, id_, command.type_name, value, ids, waiting_time(asked.prefer, self.parts.settings), self.kind.read_model
        )

    async def _check_there(self, request: Request, id_: str) -> None:
        """Refuses, with 404, what this tenant does not have, so that nothing is published about it."""
        principal = principal_of(request.scope)
        view = await self.find(principal, id_)
        if view is None and await self.parts.orders.exists(self.kind.context, id_, principal.tenant_id):
            return
        if view is None or self.gone(view):
            raise not_found(self.kind.name, id_)

    async def _answer(self, request: Request, order: Order, settled: Settled, asked: Asked) -> Response:
        """201, 200 or 204 for what the read model shows, else 202."""
        headers = applied_preference(asked.prefer, order.wait)
        location = {"Location": self.url_of(order.aggregate_id)}
        if settled.outcome is None or not settled.shown:
            retry = {"Retry-After": str(self.parts.settings.retry_after_seconds)}
            return json_answer(self._accepted(order), 202, headers | location | retry)
        if asked.status == 204:
            return Response(status_code=204, headers=headers)
        view = await self.visible(request, order.aggregate_id, fresh=True)
        return self.shown(request, view, asked.status, headers | (location if asked.status == 201 else {}))

    async def _forget(self, request: Request, order: Order, settled: Settled) -> None:
        if settled.outcome is not None and settled.shown:
            await self.parts.cached.forget(order.context, principal_of(request.scope).tenant_id, order.aggregate_id)

    def _accepted(self, order: Order) -> bytes:
        links = {"self": Link(href=self.url_of(order.aggregate_id), rel="self")}
        named: dict[str, Any] = {self.kind.id_field: order.aggregate_id}
        return Accepted(command_id=order.ids.command_id, links=links, **named).to_json()
