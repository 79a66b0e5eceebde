"""The fleet topic: what hosts say of themselves and what the judge of their silence sends to itself; JSON and headers in and out.

One record per host per interval, key = host id; a host that leaves writes a record without value under its key. Nothing of it is in the
event store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.agents.values import AgentKind
from contracts.envelope import Metadata, command_headers
from contracts.ids import TaskId
from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL
from contracts.partitioning import partition_for

HostId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL)]


class RunningTask(BaseModel):
    """A run that a host holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    task_id: TaskId
    attempt: int


class FleetMessage(BaseModel):
    """A record of the fleet topic. It belongs to no tenant and to no aggregate; readers ignore fields that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type_name: ClassVar[str]

    sent_at: AwareDatetime

    def to_json(self) -> bytes:
        """The bytes of the record's value."""
        return self.model_dump_json().encode()


class HostHeartbeat(FleetMessage):
    """A host is alive and answers for all agents of its kinds."""

    type_name: ClassVar[str] = "agentmesh.fleet.HostHeartbeat.v1"

    host_id: HostId
    kinds: Annotated[tuple[AgentKind, ...], Field(min_length=1)]
    running: tuple[RunningTask, ...] = ()
    capacity: Annotated[int, Field(ge=1, description="How many runs it takes at most.")]
    load: Annotated[float, Field(ge=0, description="Runs that it holds, as a share of its capacity.")]
    interval_seconds: Annotated[float, Field(gt=0, description="When to expect the next one.")]


class FleetProbe(FleetMessage):
    """What the judge of silence sends to itself through every partition: only who reads his own words knows that he hears others."""

    type_name: ClassVar[str] = "agentmesh.fleet.FleetProbe.v1"

    prober_id: HostId
    number: int


class HostGone(NamedTuple):
    """The host has left in good order, or was forgotten: its record is deleted."""

    host_id: str


FLEET_MESSAGES: Mapping[str, type[FleetMessage]] = {each.type_name: each for each in (HostHeartbeat, FleetProbe)}

EXAMPLES: Mapping[type[FleetMessage], Mapping[str, Any]] = {
    HostHeartbeat: {
        "sent_at": "2026-05-04T08:00:00Z",
        "host_id": "node-7-4711-0f3a9c2e",
        "kinds": ["triage"],
        "running": [{"task_id": "task-0c1d6f7e-93a5-4b0e-8a55-2f1f6f0c7a55", "attempt": 1}],
        "capacity": 200,
        "load": 0.005,
        "interval_seconds": 3.0,
    },
    FleetProbe: {"sent_at": "2026-05-04T08:00:00Z", "prober_id": "node-1-17-5b2c7e90", "number": 42},
}


def fleet_headers(message: FleetMessage, sender: str, message_id: str) -> list[tuple[str, bytes]]:
    """The record's headers, as CloudEvents has them; the sender is the subject too."""
    return command_headers(
        Metadata(
            message_id=message_id,
            type_name=message.type_name,
            source=f"/agentmesh/fleet/{sender}",
            subject=sender,
            time=message.sent_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            tenant_id="",
            auth_type="system",
            auth_id=sender,
            correlation_id=message_id,
            causation_id=message_id,
        )
    )


def read_fleet_record(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]
) -> HostHeartbeat | FleetProbe | HostGone | None:
    """What a record of the fleet topic says; None for one that says nothing to us: of another type, unreadable, or under another's key."""
    try:
        name = (key or b"").decode()
        if not value:
            return HostGone(name) if name else None
        kind = FLEET_MESSAGES.get(dict(headers).get("ce_type", b"").decode())
        message = None if kind is None else kind.model_validate_json(value)
    except (ValidationError, UnicodeDecodeError, AttributeError):
        return None
    if isinstance(message, HostHeartbeat) and message.host_id != name:
        return None
    return message if isinstance(message, HostHeartbeat | FleetProbe) else None


def probe_keys(partitions: int) -> list[bytes]:
    """One key for each partition, the same in every process, so that compaction keeps one probe a partition."""
    keys: dict[int, bytes] = {}
    number = 0
    while len(keys) < partitions:
        key = b"probe-%d" % number
        keys.setdefault(partition_for(key, partitions), key)
        number += 1
    return [keys[partition] for partition in range(partitions)]
