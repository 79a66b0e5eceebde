"""Which status a request has after each of its events; read models and subscribers follow it. An event not named keeps the status."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from contracts.requests.events import (
    ApprovalNotRequired,
    ApprovalRequested,
    RequestApproved,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestEvent,
    RequestFailed,
    RequestRejected,
    RequestTriaged,
    ResearchStarted,
)
from contracts.requests.values import RequestStatus

STATUS_AFTER: Mapping[type[RequestEvent], RequestStatus] = MappingProxyType(
    {
        RequestCreated: RequestStatus.PENDING,
        RequestTriaged: RequestStatus.TRIAGED,
        ResearchStarted: RequestStatus.IN_PROGRESS,
        ApprovalNotRequired: RequestStatus.IN_PROGRESS,
        ApprovalRequested: RequestStatus.AWAITING_APPROVAL,
        RequestApproved: RequestStatus.APPROVED,
        RequestRejected: RequestStatus.REJECTED,
        RequestCompleted: RequestStatus.COMPLETED,
        RequestFailed: RequestStatus.FAILED,
        RequestDeleted: RequestStatus.DELETED,
    }
)
