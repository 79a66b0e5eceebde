"""The routes of requests: create, read, list, change, approve, delete, and what happened; each call comes in signed in and permitted."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.requests.commands import ApproveRequest, CreateRequest, DeleteRequest, RejectRequest, RequestCommand, UpdateRequest
from contracts.requests.values import RequestStatus, ValidCustomerId
from infra.identity.base import Permission, Principal
from projections.requests.queries import (
    GetRequest,
    ListRequests,
    RequestView,
    get_request,
    list_requests,
    request_decisions,
    request_history,
)
from projections.timeline.queries import GetTimeline, request_timeline
from services.gateway.access import forbidden, own_customer
from services.gateway.bodies import command_value, parsed, read_object
from services.gateway.calls import principal_of
from services.gateway.errors import broken_rule, not_found
from services.gateway.linked import json_answer
from services.gateway.orders import ids_of
from services.gateway.parameters import DEFAULT_PAGE, NEWEST, Cursor, IdempotencyKey, IdInPath, Limit, Prefer, Sort
from services.gateway.resources import request_operations as operations
from services.gateway.resources.base import Asked, Kind, Listed, Resource
from services.gateway.resources.request_representation import (
    REQUESTS_PATH,
    RequestPage,
    RequestRepresentation,
    represent,
    represent_decisions,
    represent_history,
    represent_timeline,
)

KIND = Kind("Request", REQUESTS_PATH, "request_id", "requests", "requests")
CREATED_FIELDS = frozenset({"customer_id", "message", "priority", "category", "metadata"})
UPDATED_FIELDS = frozenset({"message", "priority", "category", "metadata"})
# A deleted request is gone: it is neither read nor listed here.
ListedStatus = Literal["pending", "triaged", "in_progress", "awaiting_approval", "approved", "rejected", "completed", "failed"]


class ApprovalBody(BaseModel):
    """What a person decides about a request (API-04). Who decides is in the token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approved: bool
    reason: str = Field(default="", max_length=1000, description="Needed where it is rejected.")


class RequestRoutes(Resource[RequestView]):
    """The handlers. A customer reaches its own requests only (SEC-15)."""

    kind = KIND
    read_models = (KIND.read_model,)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=KIND.path, tags=["requests"])
        one = "/{request_id}"
        add = partial(self.add, router)
        add("POST", "", self.post, Permission.REQUEST_CREATE, operations.CREATE)
        add("GET", "", self.list_page, Permission.REQUEST_READ, operations.LIST)
        add("GET", one, self.get, Permission.REQUEST_READ, operations.GET)
        add("PATCH", one, self.update, Permission.REQUEST_UPDATE, operations.UPDATE)
        add("DELETE", one, self.delete, Permission.REQUEST_DELETE, operations.DELETE)
        add("POST", f"{one}/approve", self.approve, Permission.REQUEST_APPROVE, operations.approve(ApprovalBody))
        add("GET", f"{one}/history", self.history, Permission.REQUEST_READ, operations.HISTORY)
        add("GET", f"{one}/decisions", self.decisions, Permission.REQUEST_READ, operations.DECISIONS)
        add("GET", f"{one}/timeline", self.timeline, Permission.TASK_READ, operations.TIMELINE, read_models=("timeline",))
        return router

    async def find(self, principal: Principal, id_: str) -> RequestView | None:
        """The row, deleted or not."""
        return await get_request(self.reads(principal), GetRequest(tenant_id=principal.tenant_id, request_id=id_, include_decisions=False))

    def represent(self, view: RequestView, principal: Principal) -> RequestRepresentation:
        """The request as this caller reads it."""
        return represent(self.parts.settings.url, view, self.may(principal))

    def gone(self, view: RequestView) -> bool:
        """A deleted request is gone."""
        return view.status == RequestStatus.DELETED

    def check_visible(self, request: Request, principal: Principal, view: RequestView) -> bool:
        """Staff see every request, a customer its own."""
        own = own_customer(request, principal, Permission.REQUEST_READ)
        return own is None or view.customer_id == own

    # --- commands -----------------------------------------------------------------------------------------------------

    async def post(self, request: Request, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
        """Open a request."""
        principal = principal_of(request.scope)
        own = own_customer(request, principal, Permission.REQUEST_CREATE)
        ids = ids_of(principal, f"POST {REQUESTS_PATH}", idempotency_key)
        request_id = f"req-{ids.aggregate_uuid}"
        body = await read_object(request)
        value = command_value(CreateRequest, CREATED_FIELDS, body, self.fixed(request, request_id))
        if own is not None and body["customer_id"] != own:
            raise forbidden(request, principal, Permission.REQUEST_CREATE, "A customer creates requests of its own only.")
        return await self.create(request, request_id, ids, CreateRequest, value, Asked(idempotency_key, prefer, 201))

    async def update(
        self, request: Request, request_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Change a request."""
        value = command_value(UpdateRequest, UPDATED_FIELDS, await read_object(request), self.fixed(request, request_id))
        return await self.change(request, request_id, UpdateRequest, value, Asked(idempotency_key, prefer))

    async def approve(
        self, request: Request, request_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Approve or reject a request."""
        command, value = self.decision(request, request_id, await read_object(request))
        return await self.change(request, request_id, command, value, Asked(idempotency_key, prefer))

    def decision(self, request: Request, request_id: str, said: dict[str, Any]) -> tuple[type[RequestCommand], bytes]:
        """What a person decides, as the command and its value. Raises ApiError, 422."""
        body = parsed(ApprovalBody, said)
        if not body.approved and not body.reason.strip():
            raise broken_rule("reason", "A rejection should have a reason", body.reason)
        command: type[RequestCommand] = ApproveRequest if body.approved else RejectRequest
        reason = {"reason": body.reason} if body.reason.strip() else {}
        return command, command_value(command, frozenset({"reason"}), reason, self.fixed(request, request_id))

    async def delete(
        self, request: Request, request_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Take a request out of use."""
        value = command_value(DeleteRequest, frozenset(), {}, self.fixed(request, request_id))
        return await self.change(request, request_id, DeleteRequest, value, Asked(idempotency_key, prefer, 204))

    # --- reads --------------------------------------------------------------------------------------------------------

    async def get(self, request: Request, request_id: IdInPath) -> Response:
        """One request."""
        return self.shown(request, await self.visible(request, request_id))

    async def history(self, request: Request, request_id: IdInPath) -> Response:
        """What happened to a request."""
        await self.visible(request, request_id)
        principal = principal_of(request.scope)
        entries = await request_history(self.reads(principal), principal.tenant_id, request_id)
        return json_answer(represent_history(self.parts.settings.url, request_id, entries).to_json())

    async def decisions(self, request: Request, request_id: IdInPath) -> Response:
        """What was decided on a request."""
        await self.visible(request, request_id)
        principal = principal_of(request.scope)
        found = await request_decisions(self.reads(principal), principal.tenant_id, request_id)
        return json_answer(represent_decisions(self.parts.settings.url, request_id, found).to_json())

    async def timeline(self, request: Request, request_id: IdInPath) -> Response:
        """Where the time of a request went."""
        await self.visible(request, request_id)
        principal = principal_of(request.scope)
        found = await request_timeline(self.reads(principal), GetTimeline(tenant_id=principal.tenant_id, request_id=request_id))
        if found is None:  # the read model of timelines is behind that of requests
            raise not_found("Timeline", request_id)
        return json_answer(represent_timeline(self.parts.settings.url, found).to_json())

    async def list_page(
        self,
        request: Request,
        customer_id: Annotated[ValidCustomerId | None, Query(description="Of this customer only.")] = None,
        status: Annotated[ListedStatus | None, Query(description="In this status only.")] = None,
        escalated: Annotated[bool | None, Query(description="Escalated ones only, or the others only.")] = None,
        sort: Sort = NEWEST,
        limit: Limit = DEFAULT_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """A page of requests."""
        asked = Listed(limit, cursor, sort)
        found = await self.rows(request, asked, customer_id=customer_id, status=status, escalated=escalated)
        filters = {"customer_id": customer_id, "status": status, "escalated": None if escalated is None else str(escalated).lower()}
        return self.listed(request, found, asked, filters, RequestPage, "created_at")

    async def rows(
        self,
        request: Request,
        asked: Listed,
        *,
        customer_id: str | None = None,
        status: str | None = None,
        escalated: bool | None = None,
        text: str | None = None,
    ) -> list[RequestView]:
        """The requests of a page that this caller sees, and one more where there are more. `text` stands in the message."""
        principal = principal_of(request.scope)
        own = own_customer(request, principal, Permission.REQUEST_READ)
        if own is not None and customer_id not in (None, own):
            return []
        wanted = ListRequests(
            tenant_id=principal.tenant_id,
            customer_id=own or customer_id,
            status=status,
            escalated=escalated,
            text=text,
            deleted=False,
            oldest_first=asked.oldest_first,
            limit=asked.limit + 1,
            after=asked.after,
        )
        return await list_requests(self.reads(principal), wanted)
