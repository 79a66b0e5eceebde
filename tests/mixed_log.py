"""A recorded log of every context: requests that end in every way, their tasks, customers, tenants and agents; each event type of the
mesh occurs. Made anew at each call, always the same; used by tests of read models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from contracts.agents import events as agents
from contracts.agents.values import Capability
from contracts.customers import events as customers
from contracts.customers.values import ContactInfo, CustomerTier, Email
from contracts.envelope import Metadata, RecordedEvent
from contracts.message import Event
from contracts.money import Money
from contracts.requests import events as requests
from contracts.requests.values import APPROVAL_EXPIRED, ApprovalReason, Category, EscalationReason, Priority
from contracts.tasks import events as tasks
from contracts.tasks.values import ModelUsage, RoutingStrategy, TaskOutcome
from contracts.tenants import events as tenants

BEGAN = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
TENANTS = ("test-tenant", "other-tenant")
THRESHOLD = Money("1000.00")
IMPACT = Money("2500.00")
USAGE = ModelUsage(model="small", calls=2, input_tokens=120, output_tokens=15, cost=Decimal("0.0120"))
ROUTING: dict[str, Any] = {"requirements": (), "priority": Priority.HIGH, "strategy": RoutingStrategy.LEAST_LOADED}


class Told(NamedTuple):
    """An event, and when it was recorded."""

    at: datetime
    event: Event


class Story:
    """One request and its tasks, told second by second."""

    def __init__(self, number: int) -> None:
        self.request_id = f"req-{number}"
        self.tenant = TENANTS[number % 5 == 4]
        self.customer = f"cust-{number % 7:04d}"
        self.now = BEGAN + timedelta(seconds=10 * number)
        self.told: list[Told] = []
        self.about: dict[str, Any] = {"tenant_id": self.tenant, "request_id": self.request_id}
        self.asked: dict[str, Any] = {
            "customer_id": self.customer,
            "message": f"Message {number}",
            "category": Category.BILLING,
            "priority": Priority.HIGH,
        }

    def tell(self, event: Callable[..., Event], time: str, **fields: Any) -> None:
        """Something happened to the request; `time` names the field that says when."""
        self.now += timedelta(seconds=1)
        self.told.append(Told(self.now, event(**{**self.about, time: self.now, **fields})))

    def work(self, kind: str, *, ending: TaskOutcome = TaskOutcome.SUCCESS, failures: int = 0, paused: bool = False) -> str:
        """A task of the request, which fails a number of times before it ends; `paused`: each time, it waits for a person."""
        task_id = f"task-{self.request_id}-{kind}"
        about = {"tenant_id": self.tenant, "task_id": task_id, "task_type": kind, "kind": kind, "subject_id": self.request_id}

        def told(event: Callable[..., Event], time: str, **fields: Any) -> None:
            self.now += timedelta(seconds=1)
            self.told.append(Told(self.now, event(**{**about, time: self.now, **fields})))

        told(tasks.TaskQueued, "queued_at", **ROUTING, max_attempts=3, time_limit_seconds=300)
        for attempt in range(1, failures + 2):
            held = {"agent_id": f"{kind}-{attempt}", "attempt": attempt}
            told(tasks.TaskAssigned, "assigned_at", **held, priority=Priority.HIGH, deadline_at=self.now + timedelta(seconds=300))
            if ending is not TaskOutcome.TIMEOUT:
                told(tasks.TaskStarted, "started_at", **held)
            if attempt <= failures:
                if paused:
                    told(tasks.TaskPaused, "paused_at", **held, effect_id="eff-1", reason="it may have happened", usage=USAGE)
                again = {"agent_id": held["agent_id"], "attempt": attempt + 1}
                told(tasks.TaskReassigned, "reassigned_at", **again, **ROUTING, reason="no answer", error_type="ModelAway", usage=USAGE)
        if ending is TaskOutcome.TIMEOUT:
            told(tasks.TaskTimedOut, "timed_out_at", **held, deadline_at=self.now)
        reason = None
        if ending is TaskOutcome.FAILURE:
            told(tasks.TaskCancelled, "cancelled_at", **held, reason="not wanted any more")
            reason = "cancelled"
        used = {"usage": USAGE, "duration_ms": 41} if ending is TaskOutcome.SUCCESS else {}
        told(tasks.TaskCompleted, "completed_at", **held, outcome=ending, reason=reason, **used)
        return task_id

    def create(self) -> None:
        thread = f"thread-{self.request_id}"
        self.tell(requests.RequestCreated, "created_at", **self.asked, thread_id=thread, requested_at=self.now, metadata={"amount": "2500"})

    def triage(self, tier: CustomerTier = CustomerTier.STANDARD) -> None:
        self.work("triage")
        assigned = {"assigned_category": Category.BILLING, "assigned_priority": Priority.HIGH, "confidence": 0.5}
        self.tell(requests.RequestTriaged, "triaged_at", **assigned, customer_tier=tier)

    def escalate(self, *reasons: EscalationReason) -> None:
        self.tell(requests.RequestEscalated, "escalated_at", reasons=reasons)

    def research(self) -> None:
        self.tell(requests.ResearchStarted, "started_at", task_id=f"task-{self.request_id}-research")
        self.work("research", failures=1)

    def go_on(self) -> None:
        decided = {"approval_threshold": THRESHOLD, "customer_tier": CustomerTier.STANDARD}
        self.tell(requests.ApprovalNotRequired, "decided_at", task_id="task-r", **self.asked, **decided)

    def ask(self, impact: Money = IMPACT) -> None:
        moments = {name: self.now + timedelta(hours=hours) for name, hours in (("remind_at", 24), ("escalate_at", 48), ("expires_at", 72))}
        self.tell(
            requests.ApprovalRequested,
            "requested_at",
            **self.asked,
            **moments,
            reasons=(ApprovalReason.AMOUNT_ABOVE_THRESHOLD, ApprovalReason.ESCALATED),
            escalation_reasons=(EscalationReason.VIP_CUSTOMER,),
            financial_impact=impact,
            approval_threshold=THRESHOLD,
            customer_tier=CustomerTier.ENTERPRISE,
            four_eyes=True,
            approvers=("ada", "grace"),
            findings={"answer": "see article 7"},
        )

    def approve(self, **fields: Any) -> None:
        given = {"approved_by": "ada", "reason": "as agreed", "financial_impact": IMPACT}
        self.tell(requests.RequestApproved, "approved_at", task_id="task-r", **self.asked, **{**given, **fields})

    def complete(self) -> None:
        self.work("resolution")
        self.tell(requests.RequestCompleted, "completed_at", resolution="Credited")


def _simple(story: Story) -> None:
    story.triage()
    story.research()
    story.go_on()
    story.complete()


def _approved(story: Story) -> None:
    story.triage(CustomerTier.ENTERPRISE)
    story.escalate(EscalationReason.VIP_CUSTOMER, EscalationReason.LOW_CONFIDENCE)
    story.research()
    story.ask()
    story.tell(requests.InformationRequested, "asked_at", question="Which invoice?", asked_by="ada")
    story.tell(requests.InformationGiven, "given_at", answer="That of May", given_by="bob")
    story.approve()
    story.complete()


def _rejected(story: Story) -> None:
    story.triage()
    story.research()
    story.ask()
    story.tell(requests.ApprovalDelegated, "delegated_at", delegated_by="ada", delegated_to="grace", reason="on leave")
    story.tell(requests.ApprovalReminded, "reminded_at")
    story.tell(requests.ApprovalEscalated, "escalated_at")
    story.tell(requests.RequestRejected, "rejected_at", rejected_by="grace", reason="not covered")


def _expired(story: Story) -> None:
    story.triage()
    story.research()
    story.ask()
    story.tell(requests.ApprovalExpired, "expired_at")
    story.tell(requests.RequestRejected, "rejected_at", rejected_by=None, reason=APPROVAL_EXPIRED)


def _failed(story: Story) -> None:
    story.work("triage", ending=TaskOutcome.TIMEOUT, failures=2)
    story.tell(requests.RequestFailed, "failed_at", reason="triage: TIMEOUT", stopped_task_id="task-x")


def _deleted(story: Story) -> None:
    story.triage()
    story.research()
    story.ask()
    story.tell(requests.RequestDeleted, "deleted_at", reason="withdrawn")
    story.work("resolution", ending=TaskOutcome.FAILURE)


def _asked_anew(story: Story) -> None:
    story.triage()
    story.tell(requests.RequestReviewed, "reviewed_at", customer_tier=CustomerTier.ENTERPRISE)
    story.escalate(EscalationReason.VIP_CUSTOMER)
    story.research()
    story.ask()
    story.tell(requests.InformationRequested, "asked_at", question="How much?", asked_by="ada")
    story.tell(requests.RequestUpdated, "updated_at", priority=Priority.CRITICAL, metadata={"amount": "900"}, updated_by="ann")
    story.ask(Money("900.00"))
    story.approve(reason=None, financial_impact=Money("900.00"))
    story.tell(requests.RequestFailed, "failed_at", reason="the answer could not be sent")


def _in_advance(story: Story) -> None:
    story.tell(requests.ProcessingStarted, "started_at", task_id="task-again", message="Message", replaces="task-lost")
    story.tell(requests.ApprovedInAdvance, "approved_at", approved_by="grace", reason="known", financial_impact=IMPACT)
    story.triage()
    story.research()
    story.ask()
    story.approve(approved_by="grace", in_advance=True)
    story.work("resolution", failures=1, paused=True)


def _waiting(story: Story) -> None:
    story.triage()
    story.research()
    story.ask()
    story.tell(requests.InformationRequested, "asked_at", question="Since when?", asked_by="grace")


ENDINGS = (_simple, _approved, _rejected, _expired, _failed, _deleted, _asked_anew, _in_advance, _waiting)


def _stories(count: int) -> Iterator[Told]:
    for number in range(count):
        story = Story(number)
        story.create()
        ENDINGS[number % len(ENDINGS)](story)
        yield from story.told


def _others() -> Iterator[Told]:
    """What is not about a request: tenants, customers, agents."""
    at = BEGAN
    for tenant in TENANTS:
        about: dict[str, Any] = {"tenant_id": tenant}
        settings = {"approval_threshold": THRESHOLD, "approval_time_limit_hours": 72, "four_eyes": False, "requests_per_minute": 100}
        yield Told(at, tenants.TenantCreated(**about, **settings, name=tenant.title(), approvers=("ada",), created_at=at))
        changed = {"four_eyes": True, "approvers": ("ada", "grace"), "approval_threshold": Money("250.00", "EUR")}
        yield Told(at, tenants.TenantSettingsChanged(**about, **changed, changed_at=at))
        contact = ContactInfo(Email("ada@example.org"), "+44 20 7946 0958")
        about["customer_id"] = f"cust-of-{tenant}"
        yield Told(at, customers.CustomerRegistered(**about, tier=CustomerTier.PREMIUM, name="Ada", contact=contact, registered_at=at))
        yield Told(at, customers.CustomerTierChanged(**about, tier=CustomerTier.ENTERPRISE, changed_at=at))
        moved = ContactInfo(Email("ada.byron@example.org"))
        yield Told(at, customers.CustomerContactChanged(**about, contact=moved, changed_at=at))
        able = (Capability(name="billing", level=3),)
        about = {"tenant_id": tenant, "agent_id": f"agent-of-{tenant}"}
        yield Told(at, agents.AgentCreated(**about, name="Ann", kind="triage", capabilities=able, limit=2, created_at=at))
        yield Told(at, agents.AgentCapabilitiesChanged(**about, capabilities=able * 2, changed_at=at))
        yield Told(at, agents.AgentSuspended(**about, reason="maintenance", suspended_at=at))
        yield Told(at, agents.AgentResumed(**about, resumed_at=at))
        yield Told(at, agents.AgentHealthCheckFailed(**about, failure_reason="no host", failed_at=at))
        yield Told(at, agents.AgentRecovered(**about, recovered_at=at))
        yield Told(at, agents.AgentDrained(**about, reason="is replaced", drained_at=at))
        yield Told(at, agents.AgentTerminated(**about, reason="retired", terminated_at=at))


def mixed_log(count: int = 2 * len(ENDINGS)) -> Mapping[str, Sequence[RecordedEvent]]:
    """The log of each context, in order of position; `count` requests, whose events lie between one another as time has them."""
    logs: dict[str, list[RecordedEvent]] = {}
    versions: Counter[str] = Counter()
    for at, event in sorted([*_others(), *_stories(count)], key=lambda told: told.at):
        log = logs.setdefault(event.context, [])
        stream = f"{event.context}/{event.aggregate_id}"
        versions[stream] += 1
        name = f"e-{event.context}-{len(log) + 1}"
        metadata = Metadata(
            message_id=name,
            type_name=event.type_name,
            source=f"/agentmesh/{event.context}",
            subject=event.aggregate_id,
            time=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            tenant_id=event.tenant_id,
            auth_type="system",
            auth_id="requests-process",
            correlation_id="c-1",
            causation_id="c-1",
        )
        log.append(RecordedEvent(metadata, event.to_json(), versions[stream], len(log) + 1, event.context))
    return logs
