"""One example of every message of the requests context, in its JSON form; published with the schemas and checked by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.message import Message
from contracts.requests.commands import (
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    FailRequest,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.events import (
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestFailed,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)

_REQUEST = {"tenant_id": "acme", "request_id": "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b"}
_MESSAGE = "My invoice of May is wrong"
_TRIAGED_REASON = "Names an invoice and asks for a correction."
_FAILURE = "The task triage was given up after 3 attempts."
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
    TriageRequest: {**_REQUEST, "category": "billing", "priority": 3, "confidence": 0.92, "reason": _TRIAGED_REASON},
    StartResearch: {**_REQUEST},
    UpdateRequest: {**_REQUEST, "priority": 4, "metadata": {"order_id": "A-1002"}},
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
    },
    RequestTriaged: {
        **_REQUEST,
        "assigned_category": "billing",
        "assigned_priority": 3,
        "confidence": 0.92,
        "reason": _TRIAGED_REASON,
        "triaged_at": "2026-05-04T09:30:02Z",
    },
    ResearchStarted: {
        **_REQUEST,
        "message": _MESSAGE,
        "category": "billing",
        "priority": 3,
        "metadata": {"order_id": "A-1001"},
        "started_at": "2026-05-04T09:30:03Z",
    },
    RequestUpdated: {**_REQUEST, "priority": 4, "metadata": {"order_id": "A-1002"}, "updated_at": "2026-05-04T09:31:00Z"},
    RequestCompleted: {**_REQUEST, "resolution": _RESOLUTION, "completed_at": "2026-05-04T09:45:00Z"},
    RequestFailed: {**_REQUEST, "reason": _FAILURE, "failed_at": "2026-05-04T09:45:00Z"},
    RequestDeleted: {**_REQUEST, "reason": "The customer withdrew it.", "deleted_at": "2026-05-04T10:00:00Z"},
}
