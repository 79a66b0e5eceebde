"""One example of every message of the tasks context, in its JSON form; published with the schemas and checked by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.message import Message
from contracts.tasks.commands import (
    AssignTask,
    CancelTask,
    CompleteTask,
    FailTask,
    PauseTask,
    ReassignTask,
    RequestTask,
    ResumeTask,
    StartTask,
    TimeOutTask,
)
from contracts.tasks.events import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskPaused,
    TaskQueued,
    TaskReassigned,
    TaskStarted,
    TaskTimedOut,
)
from contracts.tasks.values import LEASE_EXPIRED

_TASK = {"tenant_id": "acme", "task_id": "task-5a1d7c3e-8b42-4e6f-9a0b-1c2d3e4f5a6b"}
_HELD = {"agent_id": "9d2f6a0c-51b7-4c38-8d0e-6a4f1b2c3d4e", "attempt": 1}
_ABOUT = {"task_type": "triage", "kind": "triage", "subject_id": "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b"}
_REQUIREMENTS = [{"name": "triage", "level": 2}]
_INPUT = {"message": "My invoice of May is wrong", "priority": 2}
_RESULT = {"category": "billing", "priority": 3, "confidence": 0.92}
_USAGE = {"model": "rules", "calls": 1, "input_tokens": 0, "output_tokens": 0, "cost": "0"}
_LOST = LEASE_EXPIRED
_UNCERTAIN = {
    "effect_id": "eff-0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
    "reason": "The effect mail was interrupted and may have happened.",
}

EXAMPLES: Mapping[type[Message], Mapping[str, Any]] = {
    RequestTask: {
        **_TASK,
        **_ABOUT,
        "requirements": _REQUIREMENTS,
        "priority": 3,
        "strategy": "least_loaded",
        "input": _INPUT,
        "max_attempts": 3,
        "time_limit_seconds": 300,
    },
    AssignTask: {**_TASK, **_HELD},
    StartTask: {**_TASK, **_HELD},
    CompleteTask: {**_TASK, **_HELD, "result": _RESULT, "usage": _USAGE, "duration_ms": 41},
    FailTask: {**_TASK, **_HELD, "error_type": "ModelUnavailable", "reason": "The model did not answer.", "final": False},
    PauseTask: {**_TASK, **_HELD, **_UNCERTAIN},
    ResumeTask: {**_TASK, "attempt": 1, "reason": "Its effects are settled."},
    TimeOutTask: {**_TASK, "due_at": "2026-05-04T09:35:01Z"},
    ReassignTask: {**_TASK, "attempt": 1, "reason": _LOST},
    CancelTask: {**_TASK, "reason": "The request was deleted."},
    TaskQueued: {
        **_TASK,
        **_ABOUT,
        "requirements": _REQUIREMENTS,
        "priority": 3,
        "strategy": "least_loaded",
        "input": _INPUT,
        "max_attempts": 3,
        "time_limit_seconds": 300,
        "queued_at": "2026-05-04T09:30:01Z",
    },
    TaskAssigned: {
        **_TASK,
        **_ABOUT,
        **_HELD,
        "priority": 3,
        "input": _INPUT,
        "assigned_at": "2026-05-04T09:30:01Z",
        "deadline_at": "2026-05-04T09:35:01Z",
    },
    TaskStarted: {**_TASK, **_ABOUT, **_HELD, "started_at": "2026-05-04T09:30:01.100000Z"},
    TaskTimedOut: {**_TASK, **_ABOUT, **_HELD, "deadline_at": "2026-05-04T09:35:01Z", "timed_out_at": "2026-05-04T09:35:02Z"},
    TaskPaused: {**_TASK, **_ABOUT, **_HELD, **_UNCERTAIN, "paused_at": "2026-05-04T09:31:00Z"},
    TaskReassigned: {
        **_TASK,
        **_ABOUT,
        **_HELD,
        "attempt": 2,
        "requirements": _REQUIREMENTS,
        "priority": 3,
        "strategy": "least_loaded",
        "reason": _LOST,
        "reassigned_at": "2026-05-04T09:31:00Z",
    },
    TaskCancelled: {**_TASK, **_ABOUT, **_HELD, "reason": "The request was deleted.", "cancelled_at": "2026-05-04T09:31:00Z"},
    TaskCompleted: {
        **_TASK,
        **_ABOUT,
        **_HELD,
        "outcome": "SUCCESS",
        "result": _RESULT,
        "usage": _USAGE,
        "duration_ms": 41,
        "completed_at": "2026-05-04T09:30:02Z",
    },
}
