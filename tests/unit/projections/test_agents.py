"""Events of an agent make its row: status and the reason of its last change, capabilities, version; busy is derived, never stored."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.agents.events import (
    EVENTS,
    AgentCapabilitiesChanged,
    AgentCreated,
    AgentDrained,
    AgentEvent,
    AgentHealthCheckFailed,
    AgentRecovered,
    AgentResumed,
    AgentSuspended,
    AgentTerminated,
)
from contracts.agents.values import AgentStatus, Capability
from projections.agents.projection import AGENTS
from projections.agents.queries import AgentView, shown_status
from tests.unit.projections.recording import FIRST_POSITION, recorded, row_after, row_of_one_batch

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
IDS: dict[str, Any] = {"tenant_id": "acme", "agent_id": "agent-1"}
CREATED = AgentCreated(
    **IDS,
    name="First line",
    kind="triage",
    capabilities=(Capability(name="billing", level=3), Capability(name="triage", level=5)),
    limit=2,
    metadata={"team": "blue"},
    created_at=NOW,
)
SUSPENDED = AgentSuspended(**IDS, reason="maintenance", suspended_at=LATER)
RESUMED = AgentResumed(**IDS, resumed_at=LATER)
DRAINED = AgentDrained(**IDS, reason="is replaced", drained_at=LATER)
UNHEALTHY = AgentHealthCheckFailed(**IDS, failure_reason="no live host", failed_at=LATER)
RECOVERED = AgentRecovered(**IDS, recovered_at=LATER)
TERMINATED = AgentTerminated(**IDS, reason="retired", terminated_at=LATER)
CHANGED = AgentCapabilitiesChanged(**IDS, capabilities=(Capability(name="refund", level=1),), changed_at=LATER)


def row(*events: AgentEvent) -> dict[str, Any]:
    return row_after(AGENTS, recorded([CREATED, *events]))


def test_a_registered_agent_is_an_available_row() -> None:
    found = row()
    capabilities, metadata = json.loads(found.pop("capabilities")), json.loads(found.pop("metadata"))
    assert capabilities == [{"name": "billing", "level": 3}, {"name": "triage", "level": 5}]
    assert metadata == {"team": "blue"}
    assert found == {
        **IDS,
        "name": "First line",
        "kind": "triage",
        "task_limit": 2,
        "status": "available",
        "reason": None,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
        "position": FIRST_POSITION + 1,
    }


@pytest.mark.parametrize(
    ("events", "status", "reason"),
    [
        ((SUSPENDED,), "suspended", "maintenance"),
        ((SUSPENDED, RESUMED), "available", None),
        ((DRAINED,), "draining", "is replaced"),
        ((DRAINED, RESUMED), "available", None),
        ((UNHEALTHY,), "unhealthy", "no live host"),
        ((UNHEALTHY, RECOVERED), "available", None),
        ((UNHEALTHY, SUSPENDED), "suspended", "maintenance"),
        ((DRAINED, TERMINATED), "terminated", "retired"),
        ((TERMINATED.model_copy(update={"reason": None}),), "terminated", None),
        ((SUSPENDED, CHANGED), "suspended", "maintenance"),
    ],
)
def test_the_row_shows_the_last_status_and_its_reason(events: tuple[AgentEvent, ...], status: str, reason: str | None) -> None:
    found = row(*events)
    assert (found["status"], found["reason"], found["created_at"], found["updated_at"]) == (status, reason, NOW, LATER)
    assert (found["version"], found["position"]) == (1 + len(events), FIRST_POSITION + 1 + len(events))


def test_changed_capabilities_replace_the_old_ones() -> None:
    assert json.loads(row(CHANGED)["capabilities"]) == [{"name": "refund", "level": 1}]


def test_one_batch_makes_the_same_row_as_one_event_at_a_time() -> None:
    events = recorded([CREATED, UNHEALTHY, RECOVERED, CHANGED, SUSPENDED, RESUMED, DRAINED, TERMINATED])
    assert row_of_one_batch(AGENTS, events) == row_after(AGENTS, events)


def test_every_event_of_an_agent_has_its_function() -> None:
    assert set(AGENTS.project) == set(EVENTS)


@pytest.mark.parametrize(
    ("status", "open_assignments", "shown"),
    [
        (AgentStatus.AVAILABLE, 0, "available"),
        (AgentStatus.AVAILABLE, 1, "available"),
        (AgentStatus.AVAILABLE, 2, "busy"),
        (AgentStatus.AVAILABLE, 3, "busy"),
        (AgentStatus.DRAINING, 2, "draining"),
        (AgentStatus.TERMINATED, 2, "terminated"),
    ],
)
def test_an_available_agent_without_a_free_slot_is_busy(status: AgentStatus, open_assignments: int, shown: str) -> None:
    values = row() | {"capabilities": CREATED.capabilities, "metadata": {}, "status": status.value}
    assert shown_status(AgentView(**values), open_assignments) == shown
