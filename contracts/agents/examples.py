"""One example of every message of the agents context, in its JSON form; published with the schemas and checked by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.agents.commands import (
    ChangeAgentCapabilities,
    DrainAgent,
    MarkAgentUnhealthy,
    RecoverAgent,
    RegisterAgent,
    ResumeAgent,
    SuspendAgent,
    TerminateAgent,
)
from contracts.agents.events import (
    AgentCapabilitiesChanged,
    AgentCreated,
    AgentDrained,
    AgentHealthCheckFailed,
    AgentRecovered,
    AgentResumed,
    AgentSuspended,
    AgentTerminated,
)
from contracts.message import Message

_AGENT = {"tenant_id": "acme", "agent_id": "9d2f6a0c-51b7-4c38-8d0e-6a4f1b2c3d4e"}
_CAPABILITIES = [{"name": "triage", "level": 4}, {"name": "german", "level": 3}]
_REGISTERED = {"name": "Front desk", "kind": "triage", "capabilities": _CAPABILITIES, "limit": 4, "metadata": {"team": "blue"}}
_REASON = "Answers are checked by hand this week."
_FAILURE = "No live host runs agents of kind triage."

EXAMPLES: Mapping[type[Message], Mapping[str, Any]] = {
    RegisterAgent: {
        **_AGENT,
        "name": "Front desk",
        "kind": "triage",
        "capabilities": _CAPABILITIES,
        "limit": 4,
        "metadata": {"team": "blue"},
    },
    ChangeAgentCapabilities: {**_AGENT, "capabilities": _CAPABILITIES[:1]},
    SuspendAgent: {**_AGENT, "reason": _REASON},
    ResumeAgent: {**_AGENT},
    DrainAgent: {**_AGENT, "reason": _REASON},
    TerminateAgent: {**_AGENT, "reason": "Replaced by a newer one."},
    MarkAgentUnhealthy: {**_AGENT, "failure_reason": _FAILURE},
    RecoverAgent: {**_AGENT},
    AgentCreated: {**_AGENT, **_REGISTERED, "created_at": "2026-05-04T08:00:00Z"},
    AgentCapabilitiesChanged: {**_AGENT, "capabilities": _CAPABILITIES[:1], "changed_at": "2026-05-04T08:10:00Z"},
    AgentSuspended: {**_AGENT, "reason": _REASON, "suspended_at": "2026-05-04T08:20:00Z"},
    AgentResumed: {**_AGENT, "resumed_at": "2026-05-04T08:30:00Z"},
    AgentDrained: {**_AGENT, "reason": _REASON, "drained_at": "2026-05-04T08:40:00Z"},
    AgentHealthCheckFailed: {**_AGENT, "failure_reason": _FAILURE, "failed_at": "2026-05-04T08:50:00Z"},
    AgentRecovered: {**_AGENT, "recovered_at": "2026-05-04T08:51:00Z"},
    AgentTerminated: {**_AGENT, "reason": "Replaced by a newer one.", "terminated_at": "2026-05-04T09:00:00Z"},
}
