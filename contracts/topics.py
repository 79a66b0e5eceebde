"""Every topic of the mesh, with partitions, retention and cleanup; the only file where a topic name is spelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic_core import from_json

CONTEXTS = ("requests", "tasks", "agents", "customers", "tenants")
HEALTH_TOPIC = "agentmesh.health.checks.v1"
FLEET_TOPIC = "agentmesh.fleet.v1"

DEFAULT_PARTITIONS = 12
MAX_RECORD_BYTES = 262_144
"""The largest value of a command."""
MAX_EVENT_BYTES = 524_288
"""The largest stored event."""
BROKER_MAX_MESSAGE_BYTES = 1_048_576
"""What brokers and clients accept: twice the largest event, for headers, keys and the copies in the dead-letter topics."""

HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is made and verified."""

    name: str
    partitions: int
    retention_ms: int
    cleanup_policy: str
    config: Mapping[str, str] = field(default_factory=dict)


def commands_topic(context: str) -> str:
    """Where a context takes its commands; key = aggregate id."""
    return f"agentmesh.{context}.commands.v1"


def events_topic(context: str) -> str:
    """Where a context's domain events are published; key = aggregate id."""
    return f"agentmesh.{context}.events.v1"


def rejections_topic(context: str) -> str:
    """Where a context's refused commands are told; key = aggregate id."""
    return f"agentmesh.{context}.rejections.v1"


def dead_letters_topic(context: str) -> str:
    """Where copies of a context's parked records go; key = the record's own key."""
    return f"agentmesh.{context}.dlq.v1"


def work_topic(kind: str) -> str:
    """Where the tasks of one kind of agents go; what their hosts consume; key = agent id."""
    return f"agentmesh.work.{kind}.v1"


# These events also go to the work topic of their kind, under the agent that has or had the task.
WORK_EVENTS = frozenset(f"agentmesh.tasks.{name}.v1" for name in ("TaskAssigned", "TaskReassigned", "TaskTimedOut", "TaskCancelled"))


def work_route(type_name: str, data: bytes) -> tuple[str, str] | None:
    """The work topic and key under which an event is also published; None for events that are not for hosts."""
    if type_name not in WORK_EVENTS:
        return None
    fields = from_json(data)
    agent_id = fields.get("agent_id")
    return (work_topic(fields["kind"]), agent_id) if agent_id else None


def work_topic_spec(kind: str, partitions: int = DEFAULT_PARTITIONS) -> TopicSpec:
    """How a kind's work topic is made: kept for a day beyond the longest deadline."""
    return TopicSpec(work_topic(kind), partitions, WEEK_MS + 24 * HOUR_MS, "delete", {"max.message.bytes": str(BROKER_MAX_MESSAGE_BYTES)})


def fleet_topic_spec(partitions: int = DEFAULT_PARTITIONS) -> TopicSpec:
    """How the fleet topic is made: compacted soon and often, because a reader begins with all of it; key = host id."""
    compaction = {"segment.ms": "60000", "segment.bytes": str(16 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.1"}
    return TopicSpec(FLEET_TOPIC, partitions, -1, "compact", {"max.message.bytes": str(BROKER_MAX_MESSAGE_BYTES), **compaction})


def topics(partitions: int = DEFAULT_PARTITIONS) -> tuple[TopicSpec, ...]:
    """Every topic of the mesh, in a stable order."""
    kinds = (commands_topic, events_topic, rejections_topic, dead_letters_topic)
    names = [kind(context) for context in CONTEXTS for kind in kinds]
    config = {"max.message.bytes": str(BROKER_MAX_MESSAGE_BYTES)}
    mesh = [TopicSpec(name, partitions, WEEK_MS, "delete", config) for name in names]
    return (*mesh, fleet_topic_spec(partitions), TopicSpec(HEALTH_TOPIC, 1, HOUR_MS, "delete"))
