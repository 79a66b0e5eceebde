"""Records of the fleet topic: written, read again, and what a stranger may write there."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from contracts.envelope import parse_command
from contracts.fleet import (
    EXAMPLES,
    FLEET_MESSAGES,
    FleetMessage,
    FleetProbe,
    HostGone,
    HostHeartbeat,
    RunningTask,
    fleet_headers,
    probe_keys,
    read_fleet_record,
)
from contracts.ids import TaskId
from contracts.partitioning import partition_for

NOW = datetime(2026, 5, 4, 8, tzinfo=UTC)


def heartbeat(host_id: str = "host-1") -> HostHeartbeat:
    running = (RunningTask(task_id=TaskId("task-1"), attempt=2),)
    return HostHeartbeat(
        sent_at=NOW, host_id=host_id, kinds=("triage",), running=running, capacity=4, load=0.25, interval_seconds=3, future="x"
    )  # type: ignore[call-arg]


def record(message: FleetMessage, key: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    return key.encode(), message.to_json(), fleet_headers(message, key, "id-1")


@pytest.mark.parametrize("message", [heartbeat(), FleetProbe(sent_at=NOW, prober_id="d-1", number=7)])
def test_what_is_written_is_read_again(message: FleetMessage) -> None:
    assert read_fleet_record(*record(message, "host-1")) == message


@pytest.mark.parametrize("model", FLEET_MESSAGES.values())
def test_the_examples_are_valid(model: type[FleetMessage]) -> None:
    assert json.loads(model.model_validate(EXAMPLES[model]).to_json()) == EXAMPLES[model]


def test_the_headers_are_those_of_a_cloud_event() -> None:
    metadata, data = parse_command(*record(heartbeat(), "host-1"), 0)
    assert (metadata.type_name, metadata.subject, metadata.message_id) == (HostHeartbeat.type_name, "host-1", "id-1")
    assert (metadata.time, metadata.tenant_id, metadata.auth_type) == ("2026-05-04T08:00:00.000Z", "", "system")
    assert HostHeartbeat.model_validate_json(data) == heartbeat()


def test_a_record_without_value_says_that_its_host_has_left() -> None:
    assert read_fleet_record(b"host-1", None, []) == HostGone("host-1")


@pytest.mark.parametrize(
    ("key", "value", "type_name"),
    [
        (b"host-2", heartbeat().to_json(), HostHeartbeat.type_name),
        (None, heartbeat().to_json(), HostHeartbeat.type_name),
        (b"host-1", b"not JSON", HostHeartbeat.type_name),
        (b"host-1", b'{"host_id": "host-1"}', HostHeartbeat.type_name),
        (b"host-1", heartbeat().to_json(), "agentmesh.fleet.Unknown.v1"),
        (b"\xff", heartbeat().to_json(), HostHeartbeat.type_name),
        (b"", None, ""),
    ],
    ids=["another's key", "no key", "no JSON", "half of it", "unknown type", "key not UTF-8", "nothing at all"],
)
def test_what_a_stranger_writes_says_nothing(key: bytes | None, value: bytes | None, type_name: str) -> None:
    assert read_fleet_record(key, value, [("ce_type", type_name.encode())]) is None


def test_a_header_without_value_says_nothing() -> None:
    assert read_fleet_record(b"host-1", heartbeat().to_json(), [("ce_type", None)]) is None  # type: ignore[list-item]


@pytest.mark.parametrize("change", [{"kinds": ()}, {"capacity": 0}, {"load": -1}, {"interval_seconds": 0}, {"host_id": ""}])
def test_a_heartbeat_without_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HostHeartbeat.model_validate({**EXAMPLES[HostHeartbeat], **change})


@pytest.mark.parametrize("partitions", [1, 3, 12])
def test_each_partition_has_one_probe_key(partitions: int) -> None:
    keys = probe_keys(partitions)
    assert [partition_for(key, partitions) for key in keys] == list(range(partitions))
    assert keys == probe_keys(partitions)
