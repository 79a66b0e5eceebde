"""The routes of approvals: read, list, delegate, ask back, answer; a decision itself is made at the request. Calls come in signed in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from contracts.money import Money
from contracts.requests.commands import DelegateApproval, GiveInformation, RequestCommand, RequestInformation
from contracts.requests.values import ApprovalReason, EscalationReason, ValidCustomerId
from infra.identity.base import Permission, Principal
from projections.approvals.queries import ApprovalStatus, ApprovalView, GetApproval, ListApprovals, get_approval, list_approvals
from services.gateway.bodies import command_value, read_object
from services.gateway.calls import principal_of
from services.gateway.linked import Link, Linked, Page
from services.gateway.openapi import EXAMPLE_TIME, Example, Operation, body, changed, good, leads_to, refused
from services.gateway.parameters import DEFAULT_PAGE, NEWEST, Cursor, IdempotencyKey, IdInPath, IdInQuery, Limit, Prefer, Sort
from services.gateway.resources.base import Asked, Kind, Listed, Resource
from services.gateway.resources.request_representation import REQUESTS_PATH

# An approval has no stream of its own: it is what its request waits for.
KIND = Kind("Approval", "/api/v1/approvals", "request_id", "requests", "approvals")
EXAMPLE = Example(KIND.name, KIND.path, KIND.id_field, "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b")
ORDERS: Mapping[str, tuple[type[RequestCommand], frozenset[str]]] = {
    "delegate": (DelegateApproval, frozenset({"to", "reason"})),
    "question": (RequestInformation, frozenset({"question"})),
    "answer": (GiveInformation, frozenset({"answer"})),
}


class ApprovalRepresentation(Linked):
    """An approval, as the read model shows it: what is asked, who may decide, until when, and what became of it."""

    request_id: str
    customer_id: str
    customer_tier: str
    message: str
    category: str | None
    priority: int
    reasons: tuple[ApprovalReason, ...]
    escalation_reasons: tuple[EscalationReason, ...]
    financial_impact: Money | None
    approval_threshold: Money
    four_eyes: bool
    approvers: tuple[str, ...]
    findings: dict[str, Any]
    delegated_to: str | None
    delegated_by: str | None
    question: str | None
    asked_by: str | None
    answer: str | None
    answered_by: str | None
    requested_at: datetime
    remind_at: datetime
    escalate_at: datetime
    expires_at: datetime
    reminded_at: datetime | None
    escalated_at: datetime | None
    status: ApprovalStatus
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    over_at: datetime | None
    waited_seconds: float
    version: int
    position: str


class ApprovalPage(Page[ApprovalRepresentation]):
    """A page of approvals."""


class ApprovalRoutes(Resource[ApprovalView]):
    """The handlers. Who may decide in a case (four eyes, delegation, lists) is judged by the requests context, not here."""

    kind = KIND
    read_models = (KIND.read_model,)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=KIND.path, tags=["approvals"])
        add = partial(self.add, router)
        one = "/{request_id}"
        add("GET", "", self.list_page, Permission.REQUEST_APPROVE, LIST)
        add("GET", one, self.get, Permission.REQUEST_APPROVE, GET)
        add("POST", f"{one}/delegate", self.delegate, Permission.REQUEST_APPROVE, DELEGATE)
        add("POST", f"{one}/question", self.ask, Permission.REQUEST_APPROVE, ASK)
        add("POST", f"{one}/answer", self.answer, Permission.REQUEST_UPDATE, ANSWER)
        return router

    async def find(self, principal: Principal, id_: str) -> ApprovalView | None:
        """The row."""
        return await get_approval(self.reads(principal), GetApproval(tenant_id=principal.tenant_id, request_id=id_))

    def represent(self, view: ApprovalView, principal: Principal) -> ApprovalRepresentation:
        """The approval as this caller reads it."""
        href = self.url_of(view.request_id)
        request = self.url(f"{REQUESTS_PATH}/{view.request_id}")
        may = self.may(principal)
        links = {"self": Link(href=href, rel="self", description="This approval.")}
        if may(Permission.REQUEST_READ):
            links["request"] = Link(href=request, rel="request", description="What is to be approved.")
        if view.status is ApprovalStatus.WAITING and may(Permission.REQUEST_APPROVE):
            links["approve"] = Link(href=f"{request}/approve", rel="approve", method="POST", description="Approve or reject it.")
            links["delegate"] = Link(href=f"{href}/delegate", rel="delegate", method="POST", description="Let somebody else decide.")
            links["question"] = Link(href=f"{href}/question", rel="question", method="POST", description="Ask back.")
        if view.status is ApprovalStatus.WAITING and view.question is not None and view.answer is None and may(Permission.REQUEST_UPDATE):
            links["answer"] = Link(href=f"{href}/answer", rel="answer", method="POST", description="Answer the open question.")
        return ApprovalRepresentation(
            **view.model_dump(exclude={"tenant_id", "position", "financial_impact", "approval_threshold"}),
            financial_impact=view.financial_impact,
            approval_threshold=view.approval_threshold,
            position=f"{KIND.context}:{view.position}",
            links=links,
        )

    async def delegate(
        self, request: Request, request_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Let somebody else decide."""
        return await self._do(request, request_id, "delegate", Asked(idempotency_key, prefer))

    async def ask(self, request: Request, request_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
        """Ask back."""
        return await self._do(request, request_id, "question", Asked(idempotency_key, prefer))

    async def answer(
        self, request: Request, request_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Answer the open question."""
        return await self._do(request, request_id, "answer", Asked(idempotency_key, prefer))

    async def _do(self, request: Request, request_id: str, verb: str, asked: Asked) -> Response:
        command, value = self.order(request, request_id, verb, await read_object(request))
        return await self.change(request, request_id, command, value, asked)

    def order(self, request: Request, request_id: str, verb: str, said: dict[str, Any]) -> tuple[type[RequestCommand], bytes]:
        """The command of a verb (delegate, question, answer) and its value. Raises ApiError, 422."""
        command, fields = ORDERS[verb]
        return command, command_value(command, fields, said, self.fixed(request, request_id))

    async def get(self, request: Request, request_id: IdInPath) -> Response:
        """One approval."""
        return self.shown(request, await self.visible(request, request_id))

    async def list_page(
        self,
        request: Request,
        status: Annotated[ApprovalStatus | None, Query(description="In this status only.")] = None,
        customer_id: Annotated[ValidCustomerId | None, Query(description="Of this customer only.")] = None,
        delegated_to: Annotated[str | None, IdInQuery] = None,
        sort: Sort = NEWEST,
        limit: Limit = DEFAULT_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """A page of approvals."""
        asked = Listed(limit, cursor, sort)
        filters = {"status": status, "customer_id": customer_id, "delegated_to": delegated_to}
        return self.listed(request, await self.rows(request, asked, **filters), asked, filters, ApprovalPage, "requested_at")

    async def rows(self, request: Request, asked: Listed, **filters: Any) -> list[ApprovalView]:
        """The approvals of a page, and one more where there are more; filters are those of `ListApprovals`."""
        principal = principal_of(request.scope)
        wanted = ListApprovals(
            tenant_id=principal.tenant_id, **filters, oldest_first=asked.oldest_first, limit=asked.limit + 1, after=asked.after
        )
        return await list_approvals(self.reads(principal), wanted)


SHOWN = {
    "request_id": EXAMPLE.id,
    "customer_id": "cust-0042",
    "customer_tier": "standard",
    "message": "Please refund my order, it arrived broken",
    "category": "refund",
    "priority": 3,
    "reasons": ["amount_above_threshold"],
    "escalation_reasons": [],
    "financial_impact": {"amount": "1200.00", "currency": "USD"},
    "approval_threshold": {"amount": "1000.00", "currency": "USD"},
    "four_eyes": False,
    "approvers": [],
    "findings": {},
    "delegated_to": None,
    "delegated_by": None,
    "question": None,
    "asked_by": None,
    "answer": None,
    "answered_by": None,
    "requested_at": EXAMPLE_TIME,
    "remind_at": "2026-05-06T00:00:00Z",
    "escalate_at": "2026-05-06T18:00:00Z",
    "expires_at": "2026-05-07T12:00:00Z",
    "reminded_at": None,
    "escalated_at": None,
    "status": "waiting",
    "decided_by": None,
    "decided_at": None,
    "reason": None,
    "over_at": None,
    "waited_seconds": 12.5,
    "version": 5,
    "position": "requests:5",
    "_links": {"self": EXAMPLE.link("This approval.")},
}
ABOUT_ONE = ("get_approval", "delegate_approval", "ask_about_approval", "answer_about_approval", "approve_request")
_CHANGED = {200: good(ApprovalRepresentation, "Done.", SHOWN), **changed(EXAMPLE, "RESOURCE_NOT_FOUND")}
_HIDDEN = ("tenant_id", "request_id")
LIST = Operation(
    "list_approvals",
    "List approvals",
    "What waits for a decision of a person, or did, page by page. The inbox is `status=waiting&sort=oldest`.",
    200,
    {
        200: good(
            ApprovalPage,
            "A page.",
            {"items": [SHOWN], "next_cursor": None, "_links": {}},
            leads_to("request_id", *ABOUT_ONE, within="/items/0"),
        ),
        **refused(),
    },
)
GET = Operation(
    "get_approval",
    "Read an approval",
    "What is asked, who may decide, until when, and what became of it.",
    200,
    {200: good(ApprovalRepresentation, "The approval.", SHOWN), **refused("RESOURCE_NOT_FOUND")},
)
DELEGATE = Operation(
    "delegate_approval",
    "Delegate an approval",
    "Let somebody else decide, who may.",
    200,
    _CHANGED,
    body(DelegateApproval, {"holiday": {"to": "bob", "reason": "I am away until Monday."}}, _HIDDEN),
)
ASK = Operation(
    "ask_about_approval",
    "Ask back about an approval",
    "Ask a question; the approval goes on waiting, within its time limit.",
    200,
    _CHANGED,
    body(RequestInformation, {"proof": {"question": "Is there a photograph of the damage?"}}, _HIDDEN),
)
ANSWER = Operation(
    "answer_about_approval",
    "Answer a question about an approval",
    "Answer the open question. With four eyes, whoever answers takes part and decides no more.",
    200,
    _CHANGED,
    body(GiveInformation, {"proof": {"answer": "Yes, it is in the ticket."}}, _HIDDEN),
)
