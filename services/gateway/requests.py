"""The routes of requests: create, read, list, change, approve, history, delete; each call comes in signed in and permitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL
from contracts.requests.commands import ApproveRequest, CreateRequest, DeleteRequest, RejectRequest, RequestCommand, UpdateRequest
from contracts.requests.values import RequestStatus, ValidCustomerId
from infra.identity.base import Permission, Principal
from infra.postgres.base import QueryPort
from projections.requests.queries import GetRequest, ListRequests, RequestView, get_request, list_requests, request_history
from services.gateway import openapi
from services.gateway.access import Access, forbidden
from services.gateway.bodies import command_value, parsed, read_object
from services.gateway.calls import call_of, principal_of
from services.gateway.cursors import after_of, cursor_of
from services.gateway.errors import JSON, broken_rule, not_found
from services.gateway.orders import Order, Orders, Settled, ids_of, preferred_wait
from services.gateway.representation import (
    REQUESTS_PATH,
    Link,
    Linked,
    RequestPage,
    accepted,
    represent,
    represent_history,
)
from services.gateway.settings import GatewaySettings
from services.gateway.versions import check_version

CONTEXT = "requests"
RESOURCE = "Request"
CREATED_FIELDS = frozenset({"customer_id", "message", "priority", "category", "metadata"})
UPDATED_FIELDS = frozenset({"message", "priority", "category", "metadata"})
MAX_PAGE = 200

RequestIdInPath = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL, description="The request's id.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 visible characters. The same key with the same body does nothing twice and gets the same answer.",
    ),
]
Prefer = Annotated[str | None, Header(alias="Prefer", description="`wait=N`: seconds to wait for the outcome; 0 answers 202 at once.")]
# A deleted request is gone: it is neither read nor listed here.
ListedStatus = Literal["pending", "triaged", "in_progress", "awaiting_approval", "approved", "rejected", "completed", "failed"]
C = TypeVar("C", bound=RequestCommand)


class ApprovalBody(BaseModel):
    """What a person decides about a request (API-04). Who decides is in the token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approved: bool
    reason: str = Field(default="", max_length=1000, description="Needed where it is rejected.")


@dataclass(frozen=True, slots=True)
class RequestRoutes:
    """The handlers, with all that they need."""

    settings: GatewaySettings
    access: Access
    reads: QueryPort
    orders: Orders

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=REQUESTS_PATH, tags=["requests"])
        one = "/{request_id}"
        add = partial(self._add, router)
        add("POST", "", self.create, Permission.REQUEST_CREATE, openapi.CREATE)
        add("GET", "", self.list_page, Permission.REQUEST_READ, openapi.LIST)
        add("GET", one, self.get, Permission.REQUEST_READ, openapi.GET)
        add("PATCH", one, self.update, Permission.REQUEST_UPDATE, openapi.UPDATE)
        add("DELETE", one, self.delete, Permission.REQUEST_DELETE, openapi.DELETE)
        add("POST", f"{one}/approve", self.approve, Permission.REQUEST_APPROVE, openapi.approve(ApprovalBody))
        add("GET", f"{one}/history", self.history, Permission.REQUEST_READ, openapi.HISTORY)
        return router

    def _add(self, router: APIRouter, method: str, path: str, handler: Any, permission: Permission, said: openapi.Operation) -> None:
        router.add_api_route(
            path,
            handler,
            methods=[method],
            operation_id=said.id,
            summary=said.summary,
            description=f"{said.description}\n\nPermission: `{permission.value}`.",
            status_code=said.status,
            responses=said.responses,
            openapi_extra=said.extra,
            dependencies=[Depends(self.access.requires(permission).check), Depends(check_version)],
        )

    # --- commands ---------------------------------------------------------------------------------------------------

    async def create(self, request: Request, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
        """Open a request."""
        principal = principal_of(request.scope)
        own = self._own(request, principal, Permission.REQUEST_CREATE)
        ids = ids_of(principal, f"POST {REQUESTS_PATH}", idempotency_key)
        request_id = f"req-{ids.aggregate_uuid}"
        body = await read_object(request)
        value = command_value(CreateRequest, CREATED_FIELDS, body, self._fixed(principal, request_id))
        if own is not None and body["customer_id"] != own:
            raise forbidden(request, principal, Permission.REQUEST_CREATE, "A customer creates requests of its own only.")
        order = Order(CONTEXT, request_id, CreateRequest.type_name, value, ids, self._wait(prefer))
        settled = await self.orders.repeated(order) or await self.orders.carry_out(call_of(request.scope), principal, order)
        return await self._answer(request, order, settled, prefer, 201)

    async def update(
        self, request: Request, request_id: RequestIdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Change a request."""
        value = command_value(UpdateRequest, UPDATED_FIELDS, await read_object(request), self._of(request, request_id))
        return await self._change(request, request_id, UpdateRequest, value, idempotency_key, prefer)

    async def approve(
        self, request: Request, request_id: RequestIdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Approve or reject a request."""
        body = parsed(ApprovalBody, await read_object(request))
        if not body.approved and not body.reason.strip():
            raise broken_rule("reason", "A rejection should have a reason", body.reason)
        command: type[RequestCommand] = ApproveRequest if body.approved else RejectRequest
        said = {"reason": body.reason} if body.reason.strip() else {}
        value = command_value(command, frozenset({"reason"}), said, self._of(request, request_id))
        return await self._change(request, request_id, command, value, idempotency_key, prefer)

    async def delete(
        self, request: Request, request_id: RequestIdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Take a request out of use."""
        value = command_value(DeleteRequest, frozenset(), {}, self._of(request, request_id))
        return await self._change(request, request_id, DeleteRequest, value, idempotency_key, prefer, status=204)

    async def _change(
        self,
        request: Request,
        request_id: str,
        command: type[RequestCommand],
        value: bytes,
        key: str | None,
        prefer: str | None,
        status: int = 200,
    ) -> Response:
        """Carry out a command about a request that is there. One that was carried out under this key is answered as it was then."""
        principal = principal_of(request.scope)
        ids = ids_of(principal, f"{request.method} {request.url.path}", key)
        order = Order(CONTEXT, request_id, command.type_name, value, ids, self._wait(prefer))
        settled = await self.orders.repeated(order)
        if settled is None:
            await self._check_there(request, principal, request_id)
            settled = await self.orders.carry_out(call_of(request.scope), principal, order)
        return await self._answer(request, order, settled, prefer, status)

    async def _check_there(self, request: Request, principal: Principal, request_id: str) -> None:
        """Refuses, with 404, what this tenant does not have, so that nothing is published about it."""
        view = await get_request(self.reads, GetRequest(tenant_id=principal.tenant_id, request_id=request_id, include_decisions=False))
        if view is None and await self.orders.exists(CONTEXT, request_id, principal.tenant_id):
            return
        if view is None or view.status == RequestStatus.DELETED:
            raise not_found(RESOURCE, request_id)

    async def _answer(self, request: Request, order: Order, settled: Settled, prefer: str | None, status: int) -> Response:
        """201, 200 or 204 for what the read model shows, else 202."""
        headers = {} if preferred_wait(prefer) is None else {"Preference-Applied": f"wait={math.floor(order.wait)}"}
        headers["Location"] = f"{self.settings.url}{REQUESTS_PATH}/{order.aggregate_id}"
        if settled.outcome is None or not settled.shown:
            retry = {"Retry-After": str(self.settings.retry_after_seconds)}
            return _json(accepted(self.settings.url, order.aggregate_id, order.ids.command_id), 202, headers | retry)
        if status == 204:
            return Response(status_code=204, headers={name: text for name, text in headers.items() if name != "Location"})
        principal = principal_of(request.scope)
        view = await self._visible(request, principal, order.aggregate_id)
        if status == 200:
            del headers["Location"]
        return self._represented(principal, view, status, headers)

    # --- reads ------------------------------------------------------------------------------------------------------

    async def get(self, request: Request, request_id: RequestIdInPath) -> Response:
        """One request."""
        principal = principal_of(request.scope)
        return self._represented(principal, await self._visible(request, principal, request_id), 200, {})

    async def history(self, request: Request, request_id: RequestIdInPath) -> Response:
        """What happened to a request."""
        principal = principal_of(request.scope)
        await self._visible(request, principal, request_id)
        entries = await request_history(self.reads, principal.tenant_id, request_id)
        return _json(represent_history(self.settings.url, request_id, entries), 200, {})

    async def list_page(
        self,
        request: Request,
        customer_id: Annotated[ValidCustomerId | None, Query(description="Of this customer only.")] = None,
        status: Annotated[ListedStatus | None, Query(description="In this status only.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="The most requests of a page.")] = 50,
        cursor: Annotated[str | None, Query(description="The next_cursor of the page before.")] = None,
    ) -> Response:
        """A page of requests, newest first."""
        principal = principal_of(request.scope)
        own = self._own(request, principal, Permission.REQUEST_READ)
        after = after_of(cursor)
        asked = {"customer_id": customer_id, "status": status, "limit": None if limit == 50 else limit, "cursor": cursor}
        found: list[RequestView] = []
        if own is None or customer_id in (None, own):
            wanted = ListRequests(
                tenant_id=principal.tenant_id,
                customer_id=own or customer_id,
                status=status,
                deleted=False,
                limit=limit + 1,
                after=after,
            )
            found = await list_requests(self.reads, wanted)
        return self._page(principal, found, limit, asked)

    def _page(self, principal: Principal, found: list[RequestView], limit: int, asked: dict[str, Any]) -> Response:
        url = f"{self.settings.url}{REQUESTS_PATH}"
        items = [represent(self.settings.url, view, partial(self.access.may, principal)) for view in found[:limit]]
        links = {"self": Link(href=url + _query(asked), rel="self")}
        headers = {}
        cursor = None
        if len(found) > limit:
            cursor = cursor_of((found[limit - 1].created_at, found[limit - 1].request_id))
            links["next"] = Link(href=url + _query({**asked, "cursor": cursor}), rel="next")
            headers["Link"] = f'<{links["next"].href}>; rel="next"'
        return _json(RequestPage(items=items, next_cursor=cursor, links=links), 200, headers)

    # --- both -------------------------------------------------------------------------------------------------------

    async def _visible(self, request: Request, principal: Principal, request_id: str) -> RequestView:
        """The request, where this caller may see it; else 404, which tells nobody whether there is one."""
        own = self._own(request, principal, Permission.REQUEST_READ)
        view = await get_request(self.reads, GetRequest(tenant_id=principal.tenant_id, request_id=request_id, include_decisions=False))
        if view is None or view.status == RequestStatus.DELETED or (own is not None and view.customer_id != own):
            raise not_found(RESOURCE, request_id)
        return view

    def _own(self, request: Request, principal: Principal, permission: Permission) -> str | None:
        """The customer to whom this caller is held; None for staff and services (SEC-15)."""
        if not principal.is_customer:
            return None
        if principal.customer_id is None:
            raise forbidden(request, principal, permission, "The token of a customer should name its customer_id.")
        return principal.customer_id

    def _of(self, request: Request, request_id: str) -> dict[str, str]:
        return self._fixed(principal_of(request.scope), request_id)

    def _fixed(self, principal: Principal, request_id: str) -> dict[str, str]:
        return {"tenant_id": principal.tenant_id, "request_id": request_id}

    def _wait(self, prefer: str | None) -> float:
        asked = preferred_wait(prefer)
        return self.settings.wait_seconds if asked is None else min(float(asked), self.settings.longest_wait_seconds)

    def _represented(self, principal: Principal, view: RequestView, status: int, headers: dict[str, str]) -> Response:
        body = represent(self.settings.url, view, partial(self.access.may, principal))
        return _json(body, status, {**headers, "ETag": f'"{view.version}"'})


def _json(body: Linked, status: int, headers: dict[str, str]) -> Response:
    return Response(body.to_json(), status_code=status, headers=headers, media_type=JSON)


def _query(asked: dict[str, Any]) -> str:
    named = {name: value for name, value in asked.items() if value is not None}
    return f"?{urlencode(named)}" if named else ""
