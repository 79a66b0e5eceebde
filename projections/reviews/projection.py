"""The read model `reviews`: events of requests in, the tier that each open request was decided on last out; run by the projections
worker."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.customers.values import CustomerTier
from contracts.envelope import RecordedEvent
from contracts.requests.events import (
    ApprovalNotRequired,
    ApprovalRequested,
    RequestCompleted,
    RequestDeleted,
    RequestFailed,
    RequestRejected,
    RequestReviewed,
    RequestTriaged,
)
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

TABLE = "reviews"
OPEN, CLOSED = "open", "closed"


def request_triaged(recorded: RecordedEvent, event: RequestTriaged) -> Sequence[RowChange]:
    """Decided for the first time; where no tier is written, the decision knew none, which counts as `standard`."""
    tier = event.customer_tier or CustomerTier.STANDARD
    row = {"request_id": event.request_id, "tenant_id": event.tenant_id, "customer_tier": tier.value, "status": OPEN, **_at(recorded)}
    return (Insert(TABLE, row),)


def decided_again(recorded: RecordedEvent, event: RequestReviewed | ApprovalNotRequired | ApprovalRequested) -> Sequence[RowChange]:
    """Decided again, on the tier as it was known then."""
    return (Change(TABLE, {"request_id": event.request_id, "customer_tier": event.customer_tier.value, **_at(recorded)}),)


def request_over(
    recorded: RecordedEvent, event: RequestCompleted | RequestRejected | RequestFailed | RequestDeleted
) -> Sequence[RowChange]:
    """Nothing more is decided."""
    return (Change(TABLE, {"request_id": event.request_id, "status": CLOSED, **_at(recorded)}),)


def _at(recorded: RecordedEvent) -> dict[str, int]:
    return {"version": recorded.sequence, "position": recorded.position}


REVIEWS = ReadModel(
    name="reviews",
    version=1,
    gathers=True,
    contexts=("requests",),
    package="projections.reviews",
    tables=(
        Table(
            TABLE,
            key=("request_id",),
            columns={
                "request_id": "text",
                "tenant_id": "text",
                "customer_tier": "text",
                "status": "text",
                "version": "bigint",
                "position": "bigint",
            },
        ),
    ),
    project={
        RequestTriaged: request_triaged,
        RequestReviewed: decided_again,
        ApprovalNotRequired: decided_again,
        ApprovalRequested: decided_again,
        RequestCompleted: request_over,
        RequestRejected: request_over,
        RequestFailed: request_over,
        RequestDeleted: request_over,
    },
)
