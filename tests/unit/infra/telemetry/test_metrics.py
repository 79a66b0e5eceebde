"""Every metric by its exact name and labels; labels are bounded; timings are seen on success and failure."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import generate_latest

from infra.telemetry.bounded import BoundedCounter, BoundedGauge, BoundedHistogram, timed
from infra.telemetry.metrics import Metrics
from infra.telemetry.tracing import Tracing

EXPECTED = {
    "app_info": ("info", ()),
    "active_requests": ("gauge", ()),
    "http_requests_total": ("counter", ("method", "endpoint", "status")),
    "http_request_duration_seconds": ("histogram", ("method", "endpoint")),
    "agentmesh_retries_total": ("counter", ("name",)),
    "agentmesh_projection_lag_events": ("gauge", ("projection",)),
    "agentmesh_projection_lag_seconds": ("gauge", ("projection",)),
    "agentmesh_outbox_pending": ("gauge", ("context",)),
    "agentmesh_dead_letters_total": ("counter", ("topic",)),
    "agentmesh_commands_rejected_total": ("counter", ("topic", "code")),
    "agentmesh_consumer_lag_messages": ("gauge", ("group", "topic", "partition")),
    "agentmesh_consumer_lag_seconds": ("gauge", ("group", "topic", "partition")),
    "agentmesh_projection_last_event_timestamp_seconds": ("gauge", ("projection",)),
    "agentmesh_dlq_requeued_total": ("counter", ("topic",)),
    "agentmesh_event_append_duration_seconds": ("histogram", ()),
    "agentmesh_event_append_conflicts_total": ("counter", ()),
    "agentmesh_rebalances_total": ("counter", ("group",)),
    "agentmesh_commands_handled_total": ("counter", ("topic", "outcome")),
    "agentmesh_duplicates_absorbed_total": ("counter", ("topic", "payload")),
    "agentmesh_batch_records": ("histogram", ("group",)),
    "agentmesh_handle_duration_seconds": ("histogram", ("group",)),
    "agentmesh_events_relayed_total": ("counter", ("context",)),
    "agentmesh_relay_leader": ("gauge", ("context",)),
    "agentmesh_relay_page_seconds": ("histogram", ("context",)),
    "agentmesh_projected_events_total": ("counter", ("projection",)),
    "agentmesh_circuit_state": ("gauge", ("name",)),
    "agentmesh_circuit_transitions_total": ("counter", ("name", "state")),
    "agentmesh_bulkhead_active": ("gauge", ("name",)),
    "agentmesh_bulkhead_waiting": ("gauge", ("name",)),
    "agentmesh_bulkhead_refused_total": ("counter", ("name",)),
    "agentmesh_pool_connections": ("gauge", ("pool", "state")),
    "agentmesh_pool_waiting": ("gauge", ("pool",)),
    "agentmesh_gather_seconds": ("gauge", ()),
    "agentmesh_effects_total": ("counter", ("name", "outcome")),
    "agentmesh_sign_in_failures_total": ("counter", ("kind",)),
    "agentmesh_event_streams": ("gauge", ()),
    "agentmesh_events_streamed_total": ("counter", ()),
    "agentmesh_event_streams_closed_total": ("counter", ("reason",)),
    "agentmesh_task_execution_seconds": ("histogram", ("agent_id", "task_type")),
    "agentmesh_tasks_completed_total": ("counter", ("agent_id", "status")),
    "agent_execution_duration_seconds": ("histogram", ("agent_type",)),
    "agent_execution_errors_total": ("counter", ("agent_type", "error_type")),
    "llm_tokens_used_total": ("counter", ("model", "operation")),
    "agentmesh_llm_cost_usd_total": ("counter", ("model", "operation")),
    "cache_hits_total": ("counter", ("cache_type",)),
    "cache_misses_total": ("counter", ("cache_type",)),
    "agentmesh_active_agents": ("gauge", ("tenant_id", "status")),
    "agentmesh_health_check_failures_total": ("counter", ("agent_id", "failure_reason")),
    "agentmesh_events_appended_total": ("counter", ("type",)),
    "agentmesh_request_duration_seconds": ("histogram", ("status",)),
    "agentmesh_approval_wait_seconds": ("histogram", ("decision",)),
    "agentmesh_approvals_pending": ("gauge", ()),
    "agentmesh_dispatch_wait_seconds": ("histogram", ()),
    "agentmesh_dispatch_decisions_total": ("counter", ("outcome",)),
    "agentmesh_live_hosts": ("gauge", ()),
    "agentmesh_worker_attempt_timestamp_seconds": ("gauge", ("worker",)),
    "agentmesh_component_health": ("gauge", ("component",)),
    "agentmesh_tls_certificate_expiry_timestamp_seconds": ("gauge", ("certificate",)),
    "agentmesh_permissions_refused_total": ("counter", ("permission",)),
    "agentmesh_rate_limited_total": ("counter", ("route_class",)),
    "agentmesh_spans_dropped_total": ("counter", ()),
    "agentmesh_log_lines_total": ("counter", ("level",)),
    "agentmesh_monitor_leader": ("gauge", ()),
    "agentmesh_lag_messages": ("gauge", ("kind", "name")),
    "agentmesh_lag_seconds": ("gauge", ("kind", "name")),
    "agentmesh_waiting": ("gauge", ("kind",)),
    "agentmesh_oldest_waiting_seconds": ("gauge", ("kind",)),
    "agentmesh_parked_keys": ("gauge", ("context",)),
    "agentmesh_parked_records": ("gauge", ("context",)),
    "agentmesh_oldest_parked_seconds": ("gauge", ("context",)),
    "agentmesh_rebuild_orders": ("gauge", ("state",)),
    "agentmesh_oldest_rebuild_order_seconds": ("gauge", ("state",)),
}


def defined(metrics: Metrics) -> dict[str, MetricWrapperBase]:
    return {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


def exposed_name(metric: MetricWrapperBase) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(str(metric._type), "")
    return metric._name + suffix


def test_every_metric_has_its_exact_name_kind_and_labels() -> None:
    found = {exposed_name(metric): (metric._type, tuple(metric._labelnames)) for metric in defined(Metrics()).values()}
    assert found == EXPECTED


def test_an_attribute_is_the_metrics_name_without_its_prefix() -> None:
    for attribute, metric in defined(Metrics()).items():
        assert attribute == exposed_name(metric).removeprefix("agentmesh_")


def test_every_metric_says_what_it_is() -> None:
    assert all(metric._documentation.endswith(".") for metric in defined(Metrics()).values())


def test_app_info_tells_version_and_environment() -> None:
    metrics = Metrics(version="1.0.0", environment="production")
    assert metrics.registry.get_sample_value("app_info", {"version": "1.0.0", "environment": "production"}) == 1


def test_each_process_has_its_own_registry_with_its_memory_and_no_global_state() -> None:
    first, second = Metrics(), Metrics(CollectorRegistry())
    first.rebalances_total.labels("g").inc()
    assert second.registry.get_sample_value("agentmesh_rebalances_total", {"group": "g"}) is None
    assert b"process_resident_memory_bytes" in generate_latest(first.registry)


def test_children_are_the_same_by_place_by_name_and_in_any_order() -> None:
    rejected = Metrics().commands_rejected_total
    child = rejected.labels("t", "TOO_LARGE")
    assert child is rejected.labels(topic="t", code="TOO_LARGE")
    assert child is rejected.labels(code="TOO_LARGE", topic="t")
    assert child is rejected.labels("t", "TOO_LARGE")


@pytest.mark.parametrize(
    ("values", "names"), [(("t",), {}), (("t", "c", "x"), {}), ((), {"topic": "t"}), ((), {"topic": "t", "kode": "c"})]
)
def test_wrong_labels_are_refused(values: tuple[str, ...], names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="topic, code"):
        Metrics().commands_rejected_total.labels(*values, **names)


@pytest.mark.parametrize("kind", [BoundedCounter, BoundedGauge, BoundedHistogram])
def test_labels_beyond_the_limit_are_counted_as_other(kind: type) -> None:
    metric = kind("agents", "Agents.", ("agent_id", "status"), registry=None)
    metric.bound(2)
    first = metric.labels("a-1", "ok")
    assert metric.labels("a-2", "ok") is not first
    late = metric.labels("a-3", "ok")
    assert late is metric.labels("a-4", "ok") is metric.labels("other", "ok")
    assert metric.labels("a-1", "ok") is first
    assert metric.labels("a-1", "failed") is not first
    assert metric.labels("a-1", "third") is metric.labels("a-1", "other")


def test_what_is_kept_for_unknown_values_does_not_grow() -> None:
    metrics = Metrics(label_limit=3)
    for number in range(1_000):
        metrics.commands_rejected_total.labels("t", f"CODE_{number}").inc()
    rejected = metrics.commands_rejected_total
    assert rejected._children is not None
    assert len(rejected._children.cache) == 3
    assert metrics.registry.get_sample_value("agentmesh_commands_rejected_total", {"topic": "t", "code": "other"}) == 997


def test_partitions_are_never_other() -> None:
    metrics = Metrics(label_limit=1)
    for partition in range(12):
        metrics.consumer_lag_messages.labels(group="g", topic="t", partition=str(partition)).set(partition)
    value = metrics.registry.get_sample_value("agentmesh_consumer_lag_messages", {"group": "g", "topic": "t", "partition": "11"})
    assert value == 11


def test_a_timing_is_observed_on_success_and_on_failure_alike() -> None:
    metrics = Metrics()
    with timed(metrics.event_append_duration_seconds):
        pass
    with pytest.raises(KeyError), timed(metrics.event_append_duration_seconds):
        raise KeyError
    assert metrics.registry.get_sample_value("agentmesh_event_append_duration_seconds_count") == 2


def test_a_timing_inside_a_recorded_span_names_its_trace_as_exemplar() -> None:
    metrics, tracing = Metrics(), Tracing.to_exporter(InMemorySpanExporter())
    with tracing.batch_span("process", "t") as span, timed(metrics.event_append_duration_seconds):
        pass
    tracing.shutdown(1)
    assert f'# {{trace_id="{span.get_span_context().trace_id:032x}"}}' in generate_latest(metrics.registry).decode()


def test_a_metric_that_was_not_bounded_behaves_as_usual() -> None:
    counter = BoundedCounter("plain", "Plain.", ("name",), registry=None)
    assert counter.labels("a") is counter.labels(name="a")
