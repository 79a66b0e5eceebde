"""The pages of approvals: what waits for a person in, his decision, delegation, question or answer out, by the API's own orders."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from contracts.requests.values import ValidCustomerId
from infra.identity.base import Permission
from projections.approvals.queries import ApprovalStatus
from services.gateway.calls import principal_of
from services.gateway.console.page import PAGE_ROWS, Desk, Page, asked, filters, new_key, next_page, said, told_of
from services.gateway.console.people import People
from services.gateway.console.session import PREFIX, form_of
from services.gateway.cursors import cursor_of
from services.gateway.errors import broken_rule
from services.gateway.parameters import NEWEST, OLDEST, IdInPath
from services.gateway.resources.approvals import ApprovalRoutes
from services.gateway.resources.base import Listed
from services.gateway.resources.requests import RequestRoutes

PATH = f"{PREFIX}/approvals"
APPROVE = "approve"
REJECT = "reject"


class Inbox(BaseModel):
    """Which approvals are shown."""

    model_config = ConfigDict(frozen=True)

    status: ApprovalStatus = ApprovalStatus.WAITING
    customer: ValidCustomerId | None = None
    delegated: Literal["me"] | None = None
    cursor: str | None = None


class ApprovalPages(Page):
    """Who may decide in a case is judged by the requests context, not here: a refusal is told as it says it."""

    def __init__(self, desk: Desk, people: People) -> None:
        super().__init__(desk)
        self._people = people
        self._approvals = ApprovalRoutes(desk.parts)
        self._requests = RequestRoutes(desk.parts)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter()
        one = PATH + "/{request_id}"
        self.add(router, "GET", PATH, self.inbox, Permission.REQUEST_APPROVE)
        self.add(router, "GET", one, self.one, Permission.REQUEST_APPROVE)
        self.add(router, "POST", f"{one}/decide", self.decide, Permission.REQUEST_APPROVE)
        self.add(router, "POST", f"{one}/delegate", self.delegate, Permission.REQUEST_APPROVE)
        self.add(router, "POST", f"{one}/question", self.ask, Permission.REQUEST_APPROVE)
        self.add(router, "POST", f"{one}/answer", self.answer, Permission.REQUEST_UPDATE)
        return router

    async def inbox(self, request: Request) -> Response:
        """What waits, the oldest first; of what is over, the newest."""
        wanted = filters(Inbox, request)
        listed = Listed(PAGE_ROWS, wanted.cursor, OLDEST if wanted.status is ApprovalStatus.WAITING else NEWEST)
        me = principal_of(request.scope).id if wanted.delegated else None
        found = await self._approvals.rows(request, listed, status=wanted.status, customer_id=wanted.customer, delegated_to=me)
        last = found[PAGE_ROWS - 1] if len(found) > PAGE_ROWS else None
        return self.show(
            request,
            "approvals.html",
            wanted=wanted,
            rows=found[:PAGE_ROWS],
            statuses=list(ApprovalStatus),
            following=next_page(request, None if last is None else cursor_of((last.requested_at, last.request_id))),
        )

    async def one(self, request: Request, request_id: IdInPath) -> Response:
        """What is asked, with the forms that fit."""
        view = await self._approvals.visible(request, request_id)
        waits = view.status is ApprovalStatus.WAITING
        return self.show(request, "approval.html", view=view, waits=waits, key=new_key(), me=principal_of(request.scope).id)

    async def decide(self, request: Request, request_id: IdInPath) -> Response:
        """Approve or reject. One form is one decision."""
        word = form_of(request).get("decision", "")
        if word not in (APPROVE, REJECT):
            raise broken_rule("decision", f"Should be {APPROVE} or {REJECT}", word)
        command, value = self._requests.decision(request, request_id, {"approved": word == APPROVE, **said(request, "reason")})
        # Carried out as a change of the approval, so that it is waited for where the inbox is read. The other decision by the same form is
        # another order, which the domain judges: both have the same value, so the key alone would not tell them apart.
        _, settled = await self._approvals.changed(request, request_id, command, value, asked(request, word))
        done = f"{request_id} is {'approved' if word == APPROVE else 'rejected'}."
        return self.go_on(request, PATH, told_of(settled, done))

    async def delegate(self, request: Request, request_id: IdInPath) -> Response:
        """Let somebody else decide."""
        fields = said(request, "to", "reason")
        name = fields.get("to", "").strip()
        if name:
            fields["to"] = await self._people.approver("to", name, principal_of(request.scope).tenant_id)
        return await self._do(request, request_id, "delegate", fields, f"{request_id} is left to {name}.")

    async def ask(self, request: Request, request_id: IdInPath) -> Response:
        """Ask back."""
        return await self._do(
            request, request_id, "question", said(request, "question"), "The question is asked; the approval goes on waiting."
        )

    async def answer(self, request: Request, request_id: IdInPath) -> Response:
        """Answer the open question."""
        return await self._do(request, request_id, "answer", said(request, "answer"), "The question is answered.")

    async def _do(self, request: Request, request_id: str, verb: str, fields: dict[str, Any], done: str) -> Response:
        command, value = self._approvals.order(request, request_id, verb, fields)
        _, settled = await self._approvals.changed(request, request_id, command, value, asked(request))
        return self.go_on(request, f"{PATH}/{quote(request_id, safe='')}", told_of(settled, done))
