"""What the gateway answers, as frozen models: JSON in, typed values out; a field that this version does not know is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Model(BaseModel):
    """The base of all. States, tiers and reasons are texts, because a newer gateway may know more of them."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Link(Model):
    """What can be done next, and where."""

    href: str
    rel: str
    method: str = "GET"
    description: str | None = None


class Resource(Model):
    """Something that is read from a read model."""

    links: Mapping[str, Link] = Field(default={}, alias="_links")
    stale: bool = Field(default=False, alias="AgentMesh-Stale")
    """True where `min_position` was asked for and was not reached in time."""
    reached: str | None = Field(default=None, alias="AgentMesh-Position")
    """How far the read model was, where `min_position` was asked for."""


class Page(Resource, Generic[T]):
    """One page of a list; `next_cursor` is None on the last."""

    items: tuple[T, ...]
    next_cursor: str | None = None


class Money(Model):
    """An amount in a currency."""

    amount: Decimal
    currency: str = "USD"


class Request(Resource):
    """A request of a customer. `position` is what `min_position` takes."""

    request_id: str
    customer_id: str
    thread_id: str
    status: str
    message: str
    priority: int
    category: str | None = None
    metadata: Mapping[str, Any] = {}
    escalated: bool = False
    resolution: str | None = None
    reason: str | None = None
    created_at: datetime
    updated_at: datetime
    version: int
    position: str


class Actor(Model):
    """Who did it."""

    type: str
    id: str


class HistoryItem(Model):
    """One event of a request."""

    version: int
    position: str
    event_id: str
    event_type: str
    occurred_at: datetime
    actor: Actor
    correlation_id: str
    data: Mapping[str, Any]


class History(Resource):
    """All events of a request, the oldest first."""

    request_id: str
    items: tuple[HistoryItem, ...]


class Decision(Model):
    """Something that was decided on a request; `confidence` is 0.0 to 1.0."""

    decision_id: str
    kind: str
    outcome: str
    confidence: float | None = None
    reason: str | None = None
    decided_by: str | None = None
    decided_at: datetime


class Decisions(Resource):
    """All decisions on a request."""

    request_id: str
    items: tuple[Decision, ...]


class Step(Model):
    """A stretch of time in a request's life; `seconds` is how long it took."""

    kind: str
    began_at: datetime
    ended_at: datetime | None = None
    seconds: float
    attempt: int | None = None
    agent_id: str | None = None
    outcome: str | None = None
    reason: str | None = None
    by: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)


class Part(Model):
    """The steps of one task or wait."""

    name: str
    task_id: str | None = None
    began_at: datetime
    steps: tuple[Step, ...]


class Totals(Model):
    """Where a request's time and money went."""

    seconds: float
    waiting_for_agent_seconds: float
    work_seconds: float
    waiting_for_person_seconds: float
    other_seconds: float
    attempts: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


class Timeline(Resource):
    """How a request was worked on."""

    request_id: str
    began_at: datetime
    ended_at: datetime | None = None
    parts: tuple[Part, ...]
    totals: Totals
    trace_ids: tuple[str, ...] = ()


class Approval(Resource):
    """A request that waits, or waited, for a person."""

    request_id: str
    customer_id: str
    customer_tier: str
    message: str
    category: str | None = None
    priority: int
    reasons: tuple[str, ...] = ()
    escalation_reasons: tuple[str, ...] = ()
    financial_impact: Money | None = None
    approval_threshold: Money
    four_eyes: bool
    approvers: tuple[str, ...] = ()
    findings: Mapping[str, Any] = {}
    delegated_to: str | None = None
    delegated_by: str | None = None
    question: str | None = None
    asked_by: str | None = None
    answer: str | None = None
    answered_by: str | None = None
    requested_at: datetime
    remind_at: datetime
    escalate_at: datetime
    expires_at: datetime
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None
    status: str
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    over_at: datetime | None = None
    waited_seconds: float
    version: int
    position: str


class Task(Resource):
    """One piece of work of an agent."""

    task_id: str
    task_type: str
    kind: str
    subject_id: str
    status: str
    outcome: str | None = None
    reason: str | None = None
    error_type: str | None = None
    priority: int
    agent_id: str | None = None
    attempt: int
    max_attempts: int
    queued_at: datetime
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    deadline_at: datetime | None = None
    duration_ms: int | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    version: int
    position: str


class Capability(Model):
    """Something an agent can do; `level` is 1 beginner to 5 expert."""

    name: str
    level: int


class Agent(Resource):
    """An agent; `limit` is how many tasks it runs at a time."""

    agent_id: str
    name: str
    status: str
    capabilities: tuple[Capability, ...]
    kind: str
    limit: int
    open_tasks: int
    reason: str | None = None
    metadata: Mapping[str, Any] = {}
    created_at: datetime
    updated_at: datetime
    version: int
    position: str


class Customer(Resource):
    """A customer of the tenant."""

    customer_id: str
    tier: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    registered_at: datetime
    updated_at: datetime
    version: int
    position: str


class Tenant(Resource):
    """The caller's tenant and its settings."""

    tenant_id: str
    name: str
    approval_threshold: Money
    approval_time_limit_hours: int
    four_eyes: bool
    approvers: tuple[str, ...] = ()
    requests_per_minute: int
    created_at: datetime
    updated_at: datetime
    version: int
    position: str


class RequestCounts(Model):
    """Requests by status and category."""

    total: int = 0
    by_status: Mapping[str, int]
    by_category: Mapping[str, int]
    escalated: int = 0
    mean_seconds_to_completion: float | None = None


class KindCounts(Model):
    """Tasks of one kind."""

    kind: str
    total: int
    open: int
    by_outcome: Mapping[str, int]
    attempts: int
    mean_work_ms: float | None = None


class ModelUsed(Model):
    """What one model was used for."""

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


class Analytics(Resource):
    """Counts of a span of time."""

    since: datetime
    until: datetime
    requests: RequestCounts
    tasks: tuple[KindCounts, ...]
    models: tuple[ModelUsed, ...]


class DeadLetter(Resource):
    """A record that is parked, in short."""

    context: str
    position: int
    aggregate_id: str | None = None
    type_name: str | None = None
    cause: str
    error_type: str
    error_message: str
    attempts: int
    status: str
    since: datetime


class WholeDeadLetter(DeadLetter):
    """A record that is parked, with what is in it."""

    command_id: str | None = None
    marked_by: str | None = None
    marked_reason: str | None = None
    record: str
    key: str | None = None
    headers: Mapping[str, Any] = {}
    value: Any = None


class Requeued(Model):
    """What a call that requeues by a filter did; where `complete` is False, call again with `after`."""

    context: str
    matched: int
    marked: int
    through: int
    after: int
    complete: bool


class FollowedContext(Model):
    """How far a read model has read a log; `lag` is in events."""

    context: str
    position: str
    log_head: str
    lag: int | None = None


class RebuildFailure(Model):
    """Why a rebuild failed: `differs`, `refused` or `given_up`."""

    code: str
    message: str


class Rebuild(Resource):
    """An order to build a read model anew: `waiting`, `running`, `done` or `failed`; `done` of `total` positions of the logs are folded."""

    order_id: str
    projection: str
    state: str
    ordered_by: str | None = None
    ordered_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int
    done: int
    total: int | None = None
    events: int
    failure: RebuildFailure | None = None


class Projection(Resource):
    """A read model, and the last order to build it anew."""

    name: str
    version: int
    built_at: datetime
    state: str
    parked: int
    lag: int | None = None
    contexts: tuple[FollowedContext, ...]
    rebuild: Rebuild | None = None


class Projections(Resource):
    """All read models."""

    items: tuple[Projection, ...]


class AccessToken(Model):
    """What signing in answers; `expires_in` is in seconds."""

    access_token: str = Field(repr=False)
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int = 1800


class Event(Model):
    """A committed event, as a CloudEvent. `place` resumes a stream after it (`last_event_id`)."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    tenant_id: str = Field(alias="tenantid")
    sequence: int
    position: int
    data: Mapping[str, Any] = {}
    place: str = ""

    @property
    def context(self) -> str:
        """The context whose log the event is in."""
        return self.source.rsplit("/", 1)[-1]


class Partial(Model):
    """What a model has said since the piece before, of an answer that is not finished; a view only. With `number` 1 an answer begins."""

    task_id: str
    attempt: int
    operation: str
    number: int
    text: str
