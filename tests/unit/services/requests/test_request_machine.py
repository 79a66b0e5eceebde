"""Random commands against the aggregate: its promises hold in every state, and the stored events rebuild the live state."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.customers.values import CustomerTier
from contracts.envelope import Metadata, decode_stored, encode_stored
from contracts.errors import ActorRequired, BusinessRuleViolation, ResourceNotFound
from contracts.message import Command
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
from contracts.requests.events import ApprovalDelegated, InformationRequested, RequestEvent
from contracts.requests.values import FINAL_STATUSES, Category, Priority, RequestStatus
from contracts.tenants.values import TenantSettings
from contracts.upcasting import decode_event
from infra.runtime.base import DecisionContext
from services.requests.domain import Request, evolve
from services.requests.handlers import DECISIONS
from services.requests.reference import RequestReference

START = datetime(2026, 5, 4, tzinfo=UTC)
OWNER = "test-tenant"
TENANTS = st.sampled_from([OWNER, OWNER, OWNER, "other-tenant"])
MESSAGES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)
PRIORITIES = st.sampled_from([*Priority])
CATEGORIES = st.sampled_from([*Category])
METADATA = st.dictionaries(
    st.sampled_from(["a", "b"]), st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2), max_size=2
) | st.sampled_from([{"amount": "99.99"}, {"amount": "1500.00"}, {"amount": "5", "currency": "EUR"}])
ACTORS = st.sampled_from(["ada", "grace", "linus", "unknown"])
SETTINGS = st.builds(TenantSettings, four_eyes=st.booleans(), approvers=st.sampled_from([(), (), ("ada", "grace")]))
STATUS = RequestStatus
FLOW: dict[RequestStatus, set[RequestStatus]] = {
    STATUS.PENDING: {STATUS.TRIAGED},
    STATUS.TRIAGED: {STATUS.IN_PROGRESS},
    STATUS.IN_PROGRESS: {STATUS.AWAITING_APPROVAL, STATUS.COMPLETED},
    STATUS.AWAITING_APPROVAL: {STATUS.APPROVED, STATUS.REJECTED},
    STATUS.APPROVED: {STATUS.COMPLETED},
}


def consistent(category: Category | None, priority: Priority | None) -> bool:
    return category is not Category.REFUND or priority is not Priority.LOW


class RequestMachine(RuleBasedStateMachine):
    """One aggregate under arbitrary commands of two tenants."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Request | None = None
        self.stored: list[tuple[str, bytes]] = []
        self.now = START
        self.reference = RequestReference(tenant_known=True)

    def send(self, command: Command, actor: str = "ada") -> None:
        self.now += timedelta(seconds=1)
        context = DecisionContext(self.now, self.now, command.tenant_id, "user", actor, f"c-{self.now.second}", self.reference)
        try:
            events = DECISIONS[type(command)](self.state, command, context)
        except (BusinessRuleViolation, ResourceNotFound, ActorRequired):
            return
        assert len(events) <= 3
        for event in events:
            assert isinstance(event, RequestEvent)
            assert event.tenant_id == command.tenant_id
            self.check_step(self.state, event)

    def check_step(self, before: Request | None, event: RequestEvent) -> None:
        after = evolve(before, event)
        repeated = isinstance(event, InformationRequested | ApprovalDelegated)  # asked again, handed back and forth
        assert after != before or repeated, "an event that changes nothing is no fact"
        if before is not None:
            assert before.tenant_id == event.tenant_id == after.tenant_id
            ends = after.status in (RequestStatus.FAILED, RequestStatus.DELETED)
            assert ends or after.status is before.status or after.status in FLOW[before.status]
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

    @rule(tier=st.sampled_from([*CustomerTier]), tenant_settings=SETTINGS)
    def learn(self, tier: CustomerTier, tenant_settings: TenantSettings) -> None:
        self.reference = RequestReference(tier, tenant_settings, tenant_known=True)
        self.send(ReviewRequest(tenant_id=OWNER, request_id="req-1"))

    @rule(minutes=st.integers(1, 30))
    def start_again(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.send(ProcessRequest(tenant_id=OWNER, request_id="req-1"))

    @rule(tenant=TENANTS, findings=METADATA)
    def require_approval(self, tenant: str, findings: dict[str, Any]) -> None:
        self.send(RequireApproval(tenant_id=tenant, request_id="req-1", findings=findings))

    @rule(tenant=TENANTS, actor=ACTORS)
    def approve(self, tenant: str, actor: str) -> None:
        self.send(ApproveRequest(tenant_id=tenant, request_id="req-1"), actor)

    @rule(actor=ACTORS)
    def reject(self, actor: str) -> None:
        if len(self.stored) > 5:
            self.send(RejectRequest(tenant_id=OWNER, request_id="req-1", reason="no"), actor)

    @rule(actor=ACTORS, to=ACTORS)
    def delegate(self, actor: str, to: str) -> None:
        self.send(DelegateApproval(tenant_id=OWNER, request_id="req-1", to=to), actor)

    @rule(actor=ACTORS)
    def ask(self, actor: str) -> None:
        self.send(RequestInformation(tenant_id=OWNER, request_id="req-1", question="which?"), actor)

    @rule(actor=ACTORS)
    def answer(self, actor: str) -> None:
        self.send(GiveInformation(tenant_id=OWNER, request_id="req-1", answer="this"), actor)

    @rule()
    def let_a_deadline_pass(self) -> None:
        approval = None if self.state is None else self.state.approval
        if approval is not None:
            fields = {"tenant_id": OWNER, "request_id": "req-1"}
            if approval.remind_at is not None:
                self.send(RemindApproval(**fields, due_at=approval.remind_at))
            elif approval.escalate_at is not None:
                self.send(EscalateApproval(**fields, due_at=approval.escalate_at))
            elif approval.expires_at is not None:
                self.send(ExpireApproval(**fields, due_at=approval.expires_at))

    @invariant()
    def an_approval_is_held_exactly_while_it_is_waited_for(self) -> None:
        if self.state is not None:
            assert (self.state.approval is not None) is (self.state.status is RequestStatus.AWAITING_APPROVAL)

    @invariant()
    def no_task_is_under_way_between_steps_and_after_the_end(self) -> None:
        if self.state is not None:
            working = {STATUS.PENDING, STATUS.IN_PROGRESS, STATUS.APPROVED}
            assert (self.state.task_id is not None) is (self.state.status in working)

    @invariant()
    def what_is_approved_names_its_approver(self) -> None:
        if self.state is not None and self.state.status is RequestStatus.APPROVED:
            assert self.state.approved_by not in (None, "unknown")

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
