"""How long requests and their approvals took: state and event in, duration out; pure, told by the runtime when the event is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from contracts.message import Event
from contracts.requests.events import (
    ApprovalExpired,
    RequestApproved,
    RequestCompleted,
    RequestDeleted,
    RequestFailed,
    RequestRejected,
)
from contracts.requests.values import APPROVAL_EXPIRED, FINAL_STATUSES, RequestStatus
from infra.runtime.base import Duration, Measure, Measured
from services.requests.domain import Request

APPROVED, REJECTED, EXPIRED = "approved", "rejected", "expired"


def _completed(request: Request, event: RequestCompleted) -> Sequence[Duration]:
    return _request(request, RequestStatus.COMPLETED, event.completed_at)


def _failed(request: Request, event: RequestFailed) -> Sequence[Duration]:
    return _request(request, RequestStatus.FAILED, event.failed_at)


def _deleted(request: Request, event: RequestDeleted) -> Sequence[Duration]:
    return _request(request, RequestStatus.DELETED, event.deleted_at)


def _rejected(request: Request, event: RequestRejected) -> Sequence[Duration]:
    ended = _request(request, RequestStatus.REJECTED, event.rejected_at)
    by_time = event.rejected_by is None and event.reason == APPROVAL_EXPIRED
    return ended if by_time else (*ended, *_approval(request, REJECTED, event.rejected_at))


def _approved(request: Request, event: RequestApproved) -> Sequence[Duration]:
    return _approval(request, APPROVED, event.approved_at)


def _expired(request: Request, event: ApprovalExpired) -> Sequence[Duration]:
    return _approval(request, EXPIRED, event.expired_at)


def _request(request: Request, status: RequestStatus, at: datetime) -> Sequence[Duration]:
    """Since its creation; a request that had ended before ends only once."""
    if request.status in FINAL_STATUSES:
        return ()
    return (Duration(Measured.REQUEST_DURATION, status.value, (at - request.created_at).total_seconds()),)


def _approval(request: Request, decision: str, at: datetime) -> Sequence[Duration]:
    """Since it was asked for last; what was approved in advance was never waited for."""
    if request.approval is None or request.approval.requested_at is None:
        return ()
    return (Duration(Measured.APPROVAL_WAIT, decision, (at - request.approval.requested_at).total_seconds()),)


MEASURES: Mapping[type[Event], Measure] = {
    RequestCompleted: _completed,
    RequestFailed: _failed,
    RequestRejected: _rejected,
    RequestDeleted: _deleted,
    RequestApproved: _approved,
    ApprovalExpired: _expired,
}
LABELS: Mapping[Measured, Sequence[str]] = {
    Measured.REQUEST_DURATION: ("completed", "failed", "rejected", "deleted"),
    Measured.APPROVAL_WAIT: (APPROVED, REJECTED, EXPIRED),
}
