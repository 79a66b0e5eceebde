"""The names of topics, and which events also go to the work topic of a kind."""

import json

import pytest

from contracts.registry import COMMANDS, EVENTS
from contracts.topics import (
    BROKER_MAX_MESSAGE_BYTES,
    CONTEXTS,
    FLEET_TOPIC,
    HEALTH_TOPIC,
    WEEK_MS,
    WORK_EVENTS,
    topics,
    work_route,
    work_topic,
    work_topic_spec,
)

ASSIGNED = "agentmesh.tasks.TaskAssigned.v1"


def data(**fields: object) -> bytes:
    return json.dumps({"tenant_id": "acme", "task_id": "task-1", **fields}).encode()


def test_every_context_has_its_four_topics_and_the_mesh_its_fleet_and_health_topics() -> None:
    names = [spec.name for spec in topics(5)]
    kinds = ("commands", "events", "rejections", "dlq")
    assert names == [*(f"agentmesh.{context}.{kind}.v1" for context in CONTEXTS for kind in kinds), FLEET_TOPIC, HEALTH_TOPIC]
    assert len(set(names)) == len(names)
    assert {spec.partitions for spec in topics(5)} == {5, 1}
    assert {each.context for each in (*COMMANDS.values(), *EVENTS.values())} == set(CONTEXTS)


@pytest.mark.parametrize("type_name", sorted(WORK_EVENTS))
def test_an_event_for_hosts_goes_to_the_work_topic_of_its_kind_under_the_agent(type_name: str) -> None:
    assert type_name in EVENTS
    assert work_route(type_name, data(kind="triage", agent_id="agent-7")) == ("agentmesh.work.triage.v1", "agent-7")


@pytest.mark.parametrize(
    "type_name", sorted({*EVENTS, "agentmesh.tasks.TaskAssigned.v2", "agentmesh.tasks.CommandRejected.v1"} - WORK_EVENTS)
)
def test_other_events_go_to_no_work_topic_and_are_not_even_read(type_name: str) -> None:
    assert work_route(type_name, b"not JSON") is None


@pytest.mark.parametrize("agent", [{}, {"agent_id": None}, {"agent_id": ""}])
def test_an_event_of_a_task_that_nobody_had_goes_to_no_work_topic(agent: dict[str, object]) -> None:
    assert work_route("agentmesh.tasks.TaskCancelled.v1", data(kind="triage", **agent)) is None


def test_a_work_topic_is_kept_a_day_beyond_the_longest_deadline() -> None:
    spec = work_topic_spec("triage", 5)
    assert (spec.name, spec.partitions, spec.cleanup_policy) == (work_topic("triage"), 5, "delete")
    assert spec.retention_ms == WEEK_MS + 24 * 3_600_000
    assert spec.config == {"max.message.bytes": str(BROKER_MAX_MESSAGE_BYTES)}


def test_the_fleet_topic_is_compacted_soon() -> None:
    (spec,) = [spec for spec in topics(5) if spec.name == FLEET_TOPIC]
    assert (spec.partitions, spec.cleanup_policy) == (5, "compact")
    wanted = {"segment.ms": "60000", "segment.bytes": "16777216", "min.cleanable.dirty.ratio": "0.1"}
    assert wanted.items() <= spec.config.items()
