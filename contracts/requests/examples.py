"""One example of every message of the requests context, in its JSON form; published with the schemas and checked by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.message import Message
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
from contracts.requests.events import (
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalNotRequired,
    ApprovalReminded,
    ApprovalRequested,
    ApprovedInAdvance,
    InformationGiven,
    InformationRequested,
    ProcessingStarted,
    RequestApproved,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestEscalated,
    RequestFailed,
    RequestRejected,
    RequestReviewed,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)

_REQUEST = {"tenant_id": "acme", "request_id": "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b"}
_MESSAGE = "My invoice of May is wrong"
_TRIAGED_REASON = "Names an invoice and asks for a correction."
_FAILURE = "The task triage was given up after 3 attempts."
_TASK = "task-5a1d7c3e-8b42-4e6f-9a0b-1c2d3e4f5a6b"
_STOPPED = "task-0c4b2a1e-93d7-4f58-8e6d-7b1a2c3d4e5f"
_IMPACT = {"amount": "1500.00", "currency": "USD"}
_THRESHOLD = {"amount": "1000.00", "currency": "USD"}
_FINDINGS = {"findings": [{"source": "invoices.md", "text": "A wrong invoice is corrected within two days.", "score": 0.61}]}
_BOOKED = "Booked twice, the customer is right."
_OUT = "Out of office this week."
_QUESTION = "Which of the two invoices is meant?"
_ANSWER = "The one of 4 May."
_TERMS = {
    "customer_id": "cust-0042",
    "message": _MESSAGE,
    "category": "billing",
    "priority": 3,
}
_RESOLVABLE = {"task_id": _TASK, **_TERMS, "metadata": {"order_id": "A-1001", "amount": "1500.00"}, "findings": _FINDINGS}
_DUE = {"due_at": "2026-05-07T09:31:00Z"}
_RESOLUTION = "The invoice of May was corrected and sent again."

EXAMPLES: Mapping[type[Message], Mapping[str, Any]] = {
    CreateRequest: {
        **_REQUEST,
        "customer_id": "cust-0042",
        "message": _MESSAGE,
        "priority": 2,
        "category": "billing",
        "metadata": {"order_id": "A-1001"},
    },
    ProcessRequest: {**_REQUEST},
    TriageRequest: {**_REQUEST, "category": "billing", "priority": 3, "confidence": 0.92, "reason": _TRIAGED_REASON},
    StartResearch: {**_REQUEST},
    UpdateRequest: {**_REQUEST, "priority": 4, "metadata": {"order_id": "A-1002"}},
    RequireApproval: {**_REQUEST, "findings": _FINDINGS, "task_id": _TASK},
    ReviewRequest: {**_REQUEST},
    ApproveRequest: {**_REQUEST, "reason": _BOOKED},
    RejectRequest: {**_REQUEST, "reason": "The order was never paid."},
    DelegateApproval: {**_REQUEST, "to": "grace", "reason": _OUT},
    RequestInformation: {**_REQUEST, "question": _QUESTION},
    GiveInformation: {**_REQUEST, "answer": _ANSWER},
    RemindApproval: {**_REQUEST, **_DUE},
    EscalateApproval: {**_REQUEST, **_DUE},
    ExpireApproval: {**_REQUEST, **_DUE},
    CompleteRequest: {**_REQUEST, "resolution": _RESOLUTION},
    FailRequest: {**_REQUEST, "reason": _FAILURE},
    DeleteRequest: {**_REQUEST, "reason": "The customer withdrew it."},
    RequestCreated: {
        **_REQUEST,
        "customer_id": "cust-0042",
        "message": _MESSAGE,
        "priority": 2,
        "category": "billing",
        "metadata": {"order_id": "A-1001"},
        "thread_id": "thread-7d5f1b52-39f0-4c63-8a43-0d5d0f6f3a11",
        "created_at": "2026-05-04T09:30:00.250000Z",
        "requested_at": "2026-05-04T09:29:59Z",
        "created_by": "ada",
    },
    ProcessingStarted: {
        **_REQUEST,
        "task_id": _TASK,
        "replaces": _STOPPED,
        "message": _MESSAGE,
        "category": "billing",
        "priority": 2,
        "metadata": {"order_id": "A-1001"},
        "started_at": "2026-05-04T09:50:00Z",
    },
    RequestTriaged: {
        **_REQUEST,
        "assigned_category": "billing",
        "assigned_priority": 3,
        "confidence": 0.92,
        "reason": _TRIAGED_REASON,
        "customer_tier": "standard",
        "triaged_at": "2026-05-04T09:30:02Z",
    },
    RequestEscalated: {**_REQUEST, "reasons": ["vip_customer"], "escalated_at": "2026-05-04T09:30:02Z"},
    RequestReviewed: {**_REQUEST, "customer_tier": "enterprise", "reviewed_at": "2026-05-04T09:40:00Z"},
    ResearchStarted: {
        **_REQUEST,
        "task_id": _TASK,
        "message": _MESSAGE,
        "category": "billing",
        "priority": 3,
        "metadata": {"order_id": "A-1001"},
        "started_at": "2026-05-04T09:30:03Z",
    },
    RequestUpdated: {**_REQUEST, "priority": 4, "metadata": {"order_id": "A-1002"}, "updated_at": "2026-05-04T09:31:00Z"},
    ApprovalNotRequired: {
        **_REQUEST,
        **_RESOLVABLE,
        "approval_threshold": {"amount": "2000.00", "currency": "USD"},
        "customer_tier": "standard",
        "decided_at": "2026-05-04T09:31:00Z",
    },
    ApprovalRequested: {
        **_REQUEST,
        **_TERMS,
        "reasons": ["amount_above_threshold", "escalated"],
        "escalation_reasons": ["high_priority_needs_approval"],
        "financial_impact": _IMPACT,
        "approval_threshold": _THRESHOLD,
        "customer_tier": "standard",
        "four_eyes": True,
        "approvers": ["ada", "grace"],
        "findings": _FINDINGS,
        "stopped_task_id": _STOPPED,
        "remind_at": "2026-05-05T21:31:00Z",
        "escalate_at": "2026-05-06T15:31:00Z",
        "expires_at": "2026-05-07T09:31:00Z",
        "requested_at": "2026-05-04T09:31:00Z",
    },
    ApprovedInAdvance: {
        **_REQUEST,
        "approved_by": "grace",
        "reason": _BOOKED,
        "financial_impact": _IMPACT,
        "approved_at": "2026-05-04T09:30:01Z",
    },
    RequestApproved: {
        **_REQUEST,
        **_RESOLVABLE,
        "approved_by": "grace",
        "reason": _BOOKED,
        "in_advance": False,
        "financial_impact": _IMPACT,
        "approved_at": "2026-05-04T11:02:00Z",
    },
    RequestRejected: {
        **_REQUEST,
        "rejected_by": "grace",
        "reason": "The order was never paid.",
        "rejected_at": "2026-05-04T11:02:00Z",
    },
    ApprovalDelegated: {
        **_REQUEST,
        "delegated_by": "ada",
        "delegated_to": "grace",
        "reason": _OUT,
        "delegated_at": "2026-05-04T10:00:00Z",
    },
    InformationRequested: {**_REQUEST, "question": _QUESTION, "asked_by": "grace", "asked_at": "2026-05-04T10:10:00Z"},
    InformationGiven: {**_REQUEST, "answer": _ANSWER, "given_by": "ada", "given_at": "2026-05-04T10:20:00Z"},
    ApprovalReminded: {**_REQUEST, "reminded_at": "2026-05-05T21:31:01Z"},
    ApprovalEscalated: {**_REQUEST, "escalated_at": "2026-05-06T15:31:01Z"},
    ApprovalExpired: {**_REQUEST, "expired_at": "2026-05-07T09:31:01Z"},
    RequestCompleted: {**_REQUEST, "resolution": _RESOLUTION, "completed_at": "2026-05-04T09:45:00Z"},
    RequestFailed: {**_REQUEST, "reason": _FAILURE, "failed_at": "2026-05-04T09:45:00Z"},
    RequestDeleted: {**_REQUEST, "reason": "The customer withdrew it.", "deleted_at": "2026-05-04T10:00:00Z"},
}
