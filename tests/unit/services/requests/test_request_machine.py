"""Random commands against the aggregate: its promises hold in every state, and the stored events rebuild the live state."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.envelope import Metadata, decode_stored, encode_stored
from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.message import Command
from contracts.requests.commands import (
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    FailRequest,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.events import RequestEvent
from contracts.requests.values import FINAL_STATUSES, Category, Priority, RequestStatus
from contracts.upcasting import decode_event
from infra.runtime.base import DecisionContext
from services.requests.domain import Request, evolve
from services.requests.handlers import DECISIONS

START = datetime(2026, 5, 4, tzinfo=UTC)
OWNER = "test-tenant"
TENANTS = st.sampled_from([OWNER, OWNER, OWNER, "other-tenant"])
MESSAGES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)
PRIORITIES = st.sampled_from([*Priority])
CATEGORIES = st.sampled_from([*Category])
METADATA = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2), max_size=2)
FLOW = [RequestStatus.PENDING, RequestStatus.TRIAGED, RequestStatus.IN_PROGRESS, RequestStatus.COMPLETED, RequestStatus.DELETED]


def consistent(category: Category | None, priority: Priority | None) -> bool:
    return category is not Category.REFUND or priority is not Priority.LOW


class RequestMachine(RuleBasedStateMachine):
    """One aggregate under arbitrary commands of two tenants."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Request | None = None
        self.stored: list[tuple[str, bytes]] = []
        self.now = START

    def send(self, command: Command) -> None:
        self.now += timedelta(seconds=1)
        before = self.state
        context = DecisionContext(self.now, self.now, command.tenant_id, "user", "u", "c")
        try:
            events = DECISIONS[type(command)](self.state, command, context)
        except (BusinessRuleViolation, ResourceNotFound):
            return
        assert len(events) <= 1
        for event in events:
            assert isinstance(event, RequestEvent)
            assert event.tenant_id == command.tenant_id
            self.check_step(before, event)

    def check_step(self, before: Request | None, event: RequestEvent) -> None:
        after = evolve(before, event)
        assert after != before, "an event that changes nothing is no fact"
        if before is not None:
            assert before.tenant_id == event.tenant_id == after.tenant_id
            ends = after.status in (RequestStatus.FAILED, RequestStatus.DELETED)
            assert ends or FLOW.index(after.status) - FLOW.index(before.status) in (0, 1)
            assert before.status not in FINAL_STATUSES or after.status is RequestStatus.DELETED
            assert before.status is not RequestStatus.DELETED
        self.state = after
        metadata = Metadata("e", event.type_name, "s", "req-1", "2026-05-04T00:00:00Z", OWNER, "user", "u", "c", "c")
        self.stored.append((event.type_name, encode_stored(metadata, event.to_json())))

    @rule(tenant=TENANTS, message=MESSAGES, priority=PRIORITIES, category=st.none() | CATEGORIES, metadata=METADATA)
    def create(self, tenant: str, message: str, priority: Priority, category: Category | None, metadata: dict[str, Any]) -> None:
        fields = {"message": message, "priority": priority, "category": category, "metadata": metadata}
        if consistent(category, priority):
            self.send(CreateRequest(tenant_id=tenant, request_id="req-1", customer_id="cust-0042", **fields))

    @rule(tenant=TENANTS, category=CATEGORIES, priority=PRIORITIES, confidence=st.floats(0, 1))
    def triage(self, tenant: str, category: Category, priority: Priority, confidence: float) -> None:
        if consistent(category, priority):
            fields = {"category": category, "priority": priority, "confidence": confidence}
            self.send(TriageRequest(tenant_id=tenant, request_id="req-1", **fields))

    @rule(tenant=TENANTS)
    def start_research(self, tenant: str) -> None:
        self.send(StartResearch(tenant_id=tenant, request_id="req-1"))

    @rule(
        tenant=TENANTS,
        message=st.none() | MESSAGES,
        priority=st.none() | PRIORITIES,
        category=st.none() | CATEGORIES,
        metadata=st.none() | METADATA,
    )
    def update(
        self,
        tenant: str,
        message: str | None,
        priority: Priority | None,
        category: Category | None,
        metadata: dict[str, Any] | None,
    ) -> None:
        fields = {"message": message, "priority": priority, "category": category, "metadata": metadata}
        if consistent(category, priority) and any(value is not None for value in fields.values()):
            self.send(UpdateRequest(tenant_id=tenant, request_id="req-1", **fields))

    @rule(tenant=TENANTS, resolution=MESSAGES)
    def complete(self, tenant: str, resolution: str) -> None:
        self.send(CompleteRequest(tenant_id=tenant, request_id="req-1", resolution=resolution))

    @rule(tenant=TENANTS, reason=MESSAGES)
    def fail(self, tenant: str, reason: str) -> None:
        # Seldom while the request is young, so that most runs come to its other ends too.
        if self.state is not None and len(self.stored) > 3:
            self.send(FailRequest(tenant_id=tenant, request_id="req-1", reason=reason))

    @rule(tenant=TENANTS)
    def delete(self, tenant: str) -> None:
        if self.state is not None and self.state.status is RequestStatus.COMPLETED:
            self.send(DeleteRequest(tenant_id=tenant, request_id="req-1"))

    @rule()
    def delete_in_any_state(self) -> None:
        if self.state is not None and len(self.stored) > 6:
            self.send(DeleteRequest(tenant_id=self.state.tenant_id, request_id="req-1"))

    @invariant()
    def a_refund_never_has_low_priority(self) -> None:
        assert self.state is None or consistent(self.state.category, self.state.priority)

    @invariant()
    def the_stored_events_rebuild_the_live_state(self) -> None:
        rebuilt: Request | None = None
        for type_name, state in self.stored:
            _, data = decode_stored(type_name, "req-1", state)
            event = decode_event(type_name, data)
            assert isinstance(event, RequestEvent)
            rebuilt = evolve(rebuilt, event)
        assert rebuilt == self.state

    @invariant()
    def only_a_completed_request_has_a_resolution(self) -> None:
        if self.state is not None and self.state.status is not RequestStatus.DELETED:
            assert (self.state.resolution is not None) is (self.state.status is RequestStatus.COMPLETED)


TestRequestMachine = RequestMachine.TestCase
TestRequestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
