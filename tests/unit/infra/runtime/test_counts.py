"""What a command worker counts: what it has committed, and 0 of everything that it knows before."""

import pytest

from infra.event_store.base import AggregateAppend, NewEvent, NewOutcome, OutcomeKind
from infra.runtime.base import Duration, Measured
from infra.runtime.counts import CommandCounts
from infra.runtime.decide import CachedState, Decision
from infra.telemetry.metrics import Metrics

TOPIC = "agentmesh.requests.commands.v1"


def outcome(kind: OutcomeKind, code: str | None = None) -> NewOutcome:
    return NewOutcome("c-1", kind, code, 1, 0, 0, b"")


def test_what_is_known_before_is_there_with_0() -> None:
    metrics = Metrics()
    CommandCounts(metrics, "requests", TOPIC, {Measured.APPROVAL_WAIT: ("approved", "expired")})
    value = metrics.registry.get_sample_value
    for kind in OutcomeKind:
        assert value("agentmesh_commands_handled_total", {"topic": TOPIC, "outcome": kind.value}) == 0
    for payload in ("same", "different"):
        assert value("agentmesh_duplicates_absorbed_total", {"topic": TOPIC, "payload": payload}) == 0
    for name in ("dead_letters", "dlq_requeued"):
        assert value(f"agentmesh_{name}_total", {"topic": TOPIC}) == 0
    assert value("agentmesh_commands_rejected_total", {"topic": TOPIC, "code": "VALIDATION_ERROR"}) == 0
    assert value("agentmesh_events_appended_total", {"type": "RequestCreated"}) == 0
    assert value("agentmesh_events_appended_total", {"type": "TaskQueued"}) is None, "of another context"
    assert value("agentmesh_approval_wait_seconds_count", {"decision": "expired"}) == 0


def test_what_is_committed_is_counted_by_outcome_code_type_and_duration() -> None:
    metrics = Metrics()
    counts = CommandCounts(metrics, "requests", TOPIC, {})
    append = AggregateAppend("req-1", 0)
    append.outcomes = [outcome(OutcomeKind.EVENTS), outcome(OutcomeKind.REJECTED, "TOO_LARGE"), outcome(OutcomeKind.PARKED)]
    append.events = [NewEvent("agentmesh.requests.RequestCreated.v1", b""), NewEvent("agentmesh.requests.RequestCompleted.v1", b"")]
    decision = Decision(append, CachedState(None, 0))
    decision.durations = [Duration(Measured.REQUEST_DURATION, "completed", 3.0), Duration(Measured.REQUEST_DURATION, "completed", -1.0)]
    counts.written([decision, decision])
    value = metrics.registry.get_sample_value
    assert value("agentmesh_commands_handled_total", {"topic": TOPIC, "outcome": "rejected"}) == 2
    assert value("agentmesh_commands_rejected_total", {"topic": TOPIC, "code": "TOO_LARGE"}) == 2
    assert value("agentmesh_dead_letters_total", {"topic": TOPIC}) == 2
    assert value("agentmesh_events_appended_total", {"type": "RequestCompleted"}) == 2
    assert value("agentmesh_request_duration_seconds_count", {"status": "completed"}) == 4
    assert value("agentmesh_request_duration_seconds_sum", {"status": "completed"}) == 6


@pytest.mark.parametrize(("flags", "named"), [("01", {"trace_id": "a" * 32}), ("00", None)])
def test_a_duration_names_the_trace_of_its_aggregate_where_somebody_records_it(flags: str, named: dict[str, str] | None) -> None:
    metrics = Metrics()
    decision = Decision(AggregateAppend("req-1", 0), CachedState(None, 1, f"00-{'a' * 32}-{'b' * 16}-{flags}"))
    decision.durations = [Duration(Measured.REQUEST_DURATION, "completed", 3.0)]
    CommandCounts(metrics, "requests", TOPIC, {}).written([decision])
    samples = [sample for family in metrics.request_duration_seconds.collect() for sample in family.samples if sample.exemplar]
    assert [sample.exemplar.labels for sample in samples if sample.exemplar] == ([named] if named else [])
