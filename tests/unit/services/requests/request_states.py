"""Requests in every state that the tests start from, made by the commands that lead there, and short ways to ask for a decision."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.errors import DomainError
from contracts.message import Command
from contracts.money import Money
from contracts.requests.commands import (
    ApproveRequest,
    CompleteRequest,
    CreateRequest,
    DelegateApproval,
    DeleteRequest,
    EscalateApproval,
    ExpireApproval,
    FailRequest,
    GiveInformation,
    ProcessRequest,
    RejectRequest,
    RemindApproval,
    RequestInformation,
    RequireApproval,
    ReviewRequest,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.events import RequestEvent
from contracts.tenants.values import TenantSettings
from infra.runtime.base import DecisionContext
from services.requests.domain import Request, evolve
from services.requests.handlers import DECISIONS
from services.requests.reference import RequestReference

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
REMIND_AT, ESCALATE_AT, EXPIRES_AT = NOW + 36 * HOUR, NOW + 54 * HOUR, NOW + 72 * HOUR
REQUEST: dict[str, Any] = {"tenant_id": "test-tenant", "request_id": "req-1"}
FINDINGS = {
    "findings": ({"title": "Refunds", "text": "Within 14 days.", "score": 0.8, "source": "refunds.md"},),
    "search_terms": ("refund",),
}
USD_99 = {"amount": "99.99", "order_id": "A-1"}


def reference(*, tier: CustomerTier = CustomerTier.STANDARD, **settings: Any) -> RequestReference:
    """What is known of the customer and the tenant."""
    return RequestReference(customer_tier=tier, tenant_settings=TenantSettings(**settings), tenant_known=True)


def context(
    actor: str = "grace",
    *,
    at: datetime = NOW,
    command_id: str = "c-1",
    known: RequestReference | None = None,
    auth_type: str = "user",
) -> DecisionContext:
    """A command of this actor."""
    return DecisionContext(at, at, "test-tenant", auth_type, actor, command_id, known)


NOBODY = DecisionContext(NOW, NOW, "test-tenant", "unknown", "unknown", "c-1")

CREATE = CreateRequest(**REQUEST, customer_id="cust-0042", message="please give me my money back", metadata=USD_99)
TRIAGE = TriageRequest(**REQUEST, category="billing", priority=2, confidence=0.9, reason="names an order")
TRIAGE_AS_REFUND = TRIAGE.model_copy(update={"category": "refund"})
START = StartResearch(**REQUEST)
REQUIRE = RequireApproval(**REQUEST, findings=FINDINGS)
APPROVE = ApproveRequest(**REQUEST, reason="the customer is right")
REJECT = RejectRequest(**REQUEST, reason="never paid")
DELEGATE = DelegateApproval(**REQUEST, to="linus", reason="out of office")
ASK = RequestInformation(**REQUEST, question="which order?")
ANSWER = GiveInformation(**REQUEST, answer="the one of May")
REMIND = RemindApproval(**REQUEST, due_at=REMIND_AT)
ESCALATE = EscalateApproval(**REQUEST, due_at=ESCALATE_AT)
EXPIRE = ExpireApproval(**REQUEST, due_at=EXPIRES_AT)
UPDATE = UpdateRequest(**REQUEST, message="please give me all of my money back")
REVIEW = ReviewRequest(**REQUEST)
PROCESS = ProcessRequest(**REQUEST)
COMPLETE = CompleteRequest(**REQUEST, resolution="it is on its way")
FAIL = FailRequest(**REQUEST, reason="the task triage was given up")
DELETE = DeleteRequest(**REQUEST)

TO_AWAITING = [CREATE, TRIAGE_AS_REFUND, START, REQUIRE]
PATHS: dict[str, list[Command]] = {
    "absent": [],
    "pending": [CREATE],
    "approved in advance": [CREATE, APPROVE],
    "triaged": [CREATE, TRIAGE],
    "researching": [CREATE, TRIAGE, START],
    "refund researching": [CREATE, TRIAGE_AS_REFUND, START],
    "resolving": [CREATE, TRIAGE, START, REQUIRE],
    "awaiting": TO_AWAITING,
    "asked": [*TO_AWAITING, ASK],
    "approved": [*TO_AWAITING, APPROVE],
    "rejected": [*TO_AWAITING, REJECT],
    "expired": [*TO_AWAITING, EXPIRE],
    "completed": [*TO_AWAITING, APPROVE, COMPLETE],
    "failed": [CREATE, FAIL],
    "deleted": [CREATE, DELETE],
}


def decide(request: Request | None, command: Command, of: DecisionContext | None = None) -> tuple[RequestEvent, ...]:
    return DECISIONS[type(command)](request, command, of or context())  # type: ignore[return-value]


def fold(request: Request | None, events: Iterable[RequestEvent]) -> Request:
    for event in events:
        request = evolve(request, event)
    assert request is not None
    return request


def after(request: Request | None, *commands: Command, of: DecisionContext | None = None) -> Request:
    """The state after commands that must succeed and change something."""
    for command in commands:
        events = decide(request, command, of)
        assert events
        request = fold(request, events)
    assert request is not None
    return request


def in_state(name: str, known: RequestReference | None = None) -> Request | None:
    """A request of `ada`, about which `grace` decides."""
    request: Request | None = None
    for command in PATHS[name]:
        request = after(request, command, of=context("ada" if command is CREATE else "grace", known=known))
    return request


def waiting(**settings: Any) -> Request:
    """A refund of 99.99 that waits for an approval, under these settings of its tenant."""
    request = in_state("awaiting", reference(**settings))
    assert request is not None
    return request


def request_in(name: str) -> Request:
    request = in_state(name)
    assert request is not None
    return request


def refused(request: Request | None, command: Command, of: DecisionContext | None = None) -> DomainError:
    with pytest.raises(DomainError) as caught:
        decide(request, command, of)
    return caught.value


def answer(request: Request | None, command: Command, of: DecisionContext | None = None) -> str:
    """The decision in a word: names of events, `-` for nothing to change, the code or the broken rule of a refusal."""
    try:
        events = decide(request, command, of)
    except DomainError as error:
        return str(error.details["rule"]) if error.code == "BUSINESS_RULE_VIOLATION" else error.code
    return " ".join(type(event).__name__ for event in events) or "-"


def usd(amount: str) -> Money:
    return Money(amount, "USD")
