"""Holds every Prometheus metric of a process; workers count on them, `/metrics` reads them.

An attribute is the metric's name without the prefix `agentmesh_`. `labels(…)` answers from a small table; a hot loop keeps the
child: `relayed = metrics.events_relayed_total.labels(context)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, GCCollector, Info, PlatformCollector, ProcessCollector, disable_created_metrics

from infra.telemetry import names
from infra.telemetry.bounded import DEFAULT_LABEL_LIMIT, Bounded, BoundedCounter, BoundedGauge, BoundedHistogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# For each agent by itself: ten series and not twenty, because there are many agents. The finer ones are by kind of agent.
AGENT_BUCKETS = (0.05, 0.25, 1.0, 5.0, 30.0, 120.0)
RUN_BUCKETS = (*LATENCY_BUCKETS, 30.0, 60.0, 120.0, 300.0)
# From one workflow that nothing holds up to one that waits for a person for a week.
REQUEST_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0, 604_800.0)
APPROVAL_BUCKETS = (1.0, 10.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 86_400.0, 259_200.0, 604_800.0)
DISPATCH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

M = TypeVar("M", bound=Bounded)


class Metrics:
    """Every metric of the spine, in a registry of its own (never prometheus_client's global one)."""

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        version: str = "",
        environment: str = "",
        label_limit: int = DEFAULT_LABEL_LIMIT,
    ) -> None:
        self.registry = registry or CollectorRegistry(auto_describe=True)
        self._label_limit = label_limit
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.app_info = Info(names.APP, "Version and environment of the running software.", registry=self.registry)
        self.app_info.info({"version": version, "environment": environment})
        self.active_requests = self._gauge(names.ACTIVE_REQUESTS, "Requests or messages that this process handles at the moment.")
        self._define_command_metrics()
        self._define_flow_metrics()
        self._define_fleet_metrics()
        self._define_dependency_metrics()
        self._define_agent_metrics()
        self._define_http_metrics()
        self._define_workflow_metrics()
        self._define_process_metrics()
        self._define_monitor_metrics()

    def show_pool(self, pool: str, connections: Callable[[], Mapping[str, int]]) -> None:
        """Show how a pool is used (`used`, `idle`, `waiting`) whenever the metrics are read; `connections` asks no server."""
        self.pool_waiting.labels(pool=pool).set_function(lambda: connections()["waiting"])
        self.pool_connections.labels(pool=pool, state="used").set_function(lambda: connections()["used"])
        self.pool_connections.labels(pool=pool, state="idle").set_function(lambda: connections()["idle"])

    def _define_command_metrics(self) -> None:
        self.commands_handled_total = self._counter(
            names.COMMANDS_HANDLED_TOTAL, "Commands settled: events, unchanged, rejected or parked.", "topic", "outcome"
        )
        self.commands_rejected_total = self._counter(names.COMMANDS_REJECTED_TOTAL, "Commands refused, by code.", "topic", "code")
        self.duplicates_absorbed_total = self._counter(
            names.DUPLICATES_ABSORBED_TOTAL,
            "Commands whose id was known already; payload `different` means that an id was used twice.",
            "topic",
            "payload",
        )
        self.dead_letters_total = self._counter(names.DEAD_LETTERS_TOTAL, "Records parked, by the topic that they came from.", "topic")
        self.dlq_requeued_total = self._counter(
            names.DLQ_REQUEUED_TOTAL,
            "Dead letters taken up again by a redrive, by topic; `projection:<name>`: parked events that a follower has applied after all.",
            "topic",
        )
        self.batch_records = self._histogram(names.BATCH_RECORDS, "Records handled in one batch.", "group", buckets=BATCH_BUCKETS)
        self.handle_duration_seconds = self._histogram(
            names.HANDLE_DURATION_SECONDS, "Time to handle one batch, from records to durable outcome.", "group"
        )
        self.event_append_duration_seconds = self._histogram(
            names.EVENT_APPEND_DURATION_SECONDS, "Time of one append transaction in the event store."
        )
        self.event_append_conflicts_total = self._counter(
            names.EVENT_APPEND_CONFLICTS_TOTAL, "Aggregates decided again because another writer was first."
        )
        self.events_appended_total = self._counter(
            names.EVENTS_APPENDED_TOTAL, "Events committed to the store, by the short name of their type: RequestCreated.", "type"
        )

    def _define_flow_metrics(self) -> None:
        self.events_relayed_total = self._counter(names.EVENTS_RELAYED_TOTAL, "Log entries published and acknowledged.", "context")
        self.relay_leader = self._gauge(names.RELAY_LEADER, "1 while this process relays the context, 0 in stand-by.", "context")
        self.relay_page_seconds = self._histogram(names.RELAY_PAGE_SECONDS, "Time to publish one page of the log.", "context")
        self.outbox_pending = self._gauge(names.OUTBOX_PENDING, "Log positions not yet relayed.", "context")
        self.projected_events_total = self._counter(names.PROJECTED_EVENTS_TOTAL, "Events folded into a read model.", "projection")
        self.projection_lag_events = self._gauge(
            names.PROJECTION_LAG_EVENTS,
            "Events on its partitions that this worker knows of and has not saved; replicas add up.",
            "projection",
        )
        self.projection_lag_seconds = self._gauge(
            names.PROJECTION_LAG_SECONDS, "Seconds that a follower is behind, at most; 0 when it is at the end.", "projection"
        )
        self.projection_last_event_timestamp_seconds = self._gauge(
            names.PROJECTION_LAST_EVENT_TIMESTAMP_SECONDS, "When the newest event of a read model was recorded.", "projection"
        )
        self.consumer_lag_messages = self._gauge(
            names.CONSUMER_LAG_MESSAGES, "Records of an assigned partition not yet read.", "group", "topic", "partition"
        )
        self.consumer_lag_seconds = self._gauge(
            names.CONSUMER_LAG_SECONDS,
            "How old the oldest unread record of an assigned partition may be at most: it came after the last one that was handled, and "
            "after the last moment without any; 0 when there is none. `agentmesh_lag_seconds` tells the age itself.",
            "group",
            "topic",
            "partition",
        )
        self.rebalances_total = self._counter(names.REBALANCES_TOTAL, "Times that a group's partitions were given out anew.", "group")
        self.effects_total = self._counter(
            names.EFFECTS_TOTAL,
            "Effects of agents: recorded, reused, repeated, probed, waiting for a person, failed (nothing happened), interrupted.",
            "name",
            "outcome",
        )

    def _define_agent_metrics(self) -> None:
        self.task_execution_seconds = self._histogram(
            names.TASK_EXECUTION_SECONDS, "Time of one run of a task, however it ended.", "agent_id", "task_type", buckets=AGENT_BUCKETS
        )
        self.tasks_completed_total = self._counter(
            names.TASKS_COMPLETED_TOTAL, "Runs of tasks that ended, by outcome: SUCCESS, FAILURE, TIMEOUT.", "agent_id", "status"
        )
        self.agent_execution_duration_seconds = self._histogram(
            names.AGENT_EXECUTION_DURATION_SECONDS, "Time of one run, by kind of agent.", "agent_type", buckets=RUN_BUCKETS
        )
        self.agent_execution_errors_total = self._counter(
            names.AGENT_EXECUTION_ERRORS_TOTAL,
            "Runs that ended without success, by kind of agent and of error.",
            "agent_type",
            "error_type",
        )
        self.llm_tokens_used_total = self._counter(
            names.LLM_TOKENS_USED_TOTAL, "Tokens that calls of models used, input and output together.", "model", "operation"
        )
        self.llm_cost_usd_total = self._counter(
            names.LLM_COST_USD_TOTAL, "What calls of models cost in US dollars, as far as prices are known.", "model", "operation"
        )

    def _define_http_metrics(self) -> None:
        self.http_requests_total = self._counter(
            names.HTTP_REQUESTS_TOTAL, "Answered HTTP calls; `endpoint` is the template of the route.", "method", "endpoint", "status"
        )
        self.http_request_duration_seconds = self._histogram(
            names.HTTP_REQUEST_DURATION_SECONDS, "Time from an HTTP call to the end of its answer.", "method", "endpoint"
        )
        self.event_streams = self._gauge(names.EVENT_STREAMS, "Streams of events that readers hold open.")
        self.events_streamed_total = self._counter(names.EVENTS_STREAMED_TOTAL, "Events sent on streams, each reader counted.")
        self.event_streams_closed_total = self._counter(
            names.EVENT_STREAMS_CLOSED_TOTAL,
            "Streams that ended: reader_left, too_slow, token_expired, renew, drained, unavailable, failed.",
            "reason",
        )

        self.permissions_refused_total = self._counter(
            names.PERMISSIONS_REFUSED_TOTAL, "Calls refused because the caller lacks a permission, by that permission.", "permission"
        )
        self.rate_limited_total = self._counter(
            names.RATE_LIMITED_TOTAL,
            "Calls refused with 429, by class of route: read, write, auth (a limit of calls), stream (a limit of streams that are open).",
            "route_class",
        )

    def _define_workflow_metrics(self) -> None:
        self.request_duration_seconds = self._histogram(
            names.REQUEST_DURATION_SECONDS,
            "Time from the creation of a request to its end, by how it ended: completed, failed, rejected, deleted.",
            "status",
            buckets=REQUEST_BUCKETS,
        )
        self.approval_wait_seconds = self._histogram(
            names.APPROVAL_WAIT_SECONDS,
            "Time from asking for an approval to its decision: approved, rejected, expired.",
            "decision",
            buckets=APPROVAL_BUCKETS,
        )
        self.dispatch_wait_seconds = self._histogram(
            names.DISPATCH_WAIT_SECONDS,
            "Time that a task waited from being queued (anew, for a further attempt) to its assignment to an agent.",
            buckets=DISPATCH_BUCKETS,
        )
        self.dispatch_decisions_total = self._counter(
            names.DISPATCH_DECISIONS_TOTAL,
            "What became of the leading dispatcher's choices: assigned, refused, unanswered, taken_back.",
            "outcome",
        )
        self.live_hosts = self._gauge(names.LIVE_HOSTS, "Agent hosts whose heartbeats the leading dispatcher hears.")

    def _define_process_metrics(self) -> None:
        self.worker_attempt_timestamp_seconds = self._gauge(
            names.WORKER_ATTEMPT_TIMESTAMP_SECONDS,
            "When the main loop of a worker last made an attempt, one that failed for a server that is away included.",
            "worker",
        )
        self.component_health = self._gauge(
            names.COMPONENT_HEALTH,
            "How a component counts for this process by its last health check: 0 healthy, 1 degraded or optional and away, 2 unhealthy.",
            "component",
        )
        self.tls_certificate_expiry_timestamp_seconds = self._gauge(
            names.TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, "When a certificate that this process serves with expires.", "certificate"
        )
        self.spans_dropped_total = self._counter(names.SPANS_DROPPED_TOTAL, "Recorded spans that never reached the collector.")
        self.log_lines_total = self._counter(names.LOG_LINES_TOTAL, "Lines logged, by level; those that sampling left out too.", "level")
        for level in LOG_LEVELS:
            self.log_lines_total.labels(level)

    def _define_monitor_metrics(self) -> None:
        self.monitor_leader = self._gauge(names.MONITOR_LEADER, "1 while this process watches the mesh, 0 in stand-by.")
        self.lag_messages = self._gauge(
            names.LAG_MESSAGES,
            "Records or events that a follower has not handled yet, by kind: consumer_group, relay, projection, process_manager.",
            "kind",
            "name",
        )
        self.lag_seconds = self._gauge(
            names.LAG_SECONDS,
            "Age of the oldest record or event that a follower has not handled yet; 0 when there is none.",
            "kind",
            "name",
        )
        self.waiting = self._gauge(
            names.WAITING,
            "What is open, by kind: request (not ended, awaits no approval), task (not started), approval (not decided).",
            "kind",
        )
        self.oldest_waiting_seconds = self._gauge(
            names.OLDEST_WAITING_SECONDS,
            "How long the oldest of what is open has waited, by kind: request since its last event, task and approval since they were "
            "asked for; 0 when nothing is.",
            "kind",
        )
        self.approvals_pending = self._gauge(
            names.APPROVALS_PENDING, "Approvals that wait for a person's decision; told by the leading monitor."
        )
        self.parked_keys = self._gauge(
            names.PARKED_KEYS,
            "Aggregates that stand still behind a parked record, by context; `projection:<name>` for what a follower could not apply.",
            "context",
        )
        self.parked_records = self._gauge(names.PARKED_RECORDS, "Records that are parked, by context as above.", "context")
        self.oldest_parked_seconds = self._gauge(
            names.OLDEST_PARKED_SECONDS, "How long the oldest parked record of a context has been parked; 0 when there is none.", "context"
        )
        self.rebuild_orders = self._gauge(
            names.REBUILD_ORDERS, "Read models whose last order of a rebuild is waiting, running or failed, by that state.", "state"
        )
        self.oldest_rebuild_order_seconds = self._gauge(
            names.OLDEST_REBUILD_ORDER_SECONDS,
            "How long ago the oldest of these orders was placed (waiting), begun (running) or ended (failed); 0 when there is none.",
            "state",
        )

    def _define_fleet_metrics(self) -> None:
        self.active_agents = self._gauge(
            names.ACTIVE_AGENTS, "Agents that are not terminated, by status; told by the leading dispatcher.", "tenant_id", "status"
        )
        self.health_check_failures_total = self._counter(
            names.HEALTH_CHECK_FAILURES_TOTAL,
            "Agents found unhealthy: no_live_host, leases_expired.",
            "agent_id",
            "failure_reason",
        )

    def _define_dependency_metrics(self) -> None:
        self.retries_total = self._counter(names.RETRIES_TOTAL, "Attempts repeated after a transient failure.", "name")
        self.circuit_state = self._gauge(names.CIRCUIT_STATE, "State of a circuit: 0 closed, 1 open, 2 half-open.", "name")
        self.circuit_transitions_total = self._counter(
            names.CIRCUIT_TRANSITIONS_TOTAL, "Times that a circuit came into a state: closed, open, half_open.", "name", "state"
        )
        self.bulkhead_active = self._gauge(names.BULKHEAD_ACTIVE, "Calls that hold a slot of a bulkhead.", "name")
        self.bulkhead_waiting = self._gauge(names.BULKHEAD_WAITING, "Calls that wait for a slot of a bulkhead.", "name")
        self.bulkhead_refused_total = self._counter(
            names.BULKHEAD_REFUSED_TOTAL, "Calls refused because the waiting room of a bulkhead was full.", "name"
        )
        self.pool_connections = self._gauge(
            names.POOL_CONNECTIONS,
            "Connections of a pool, to Postgres or (`<worker>.redis`) to Redis, by state: used, idle.",
            "pool",
            "state",
        )
        self.cache_hits_total = self._counter(names.CACHE_HITS_TOTAL, "Reads that the cache answered, by kind of key.", "cache_type")
        self.cache_misses_total = self._counter(
            names.CACHE_MISSES_TOTAL, "Reads that were fetched, the cache being away included, by kind of key.", "cache_type"
        )
        self.pool_waiting = self._gauge(names.POOL_WAITING, "Callers that wait for a connection of a pool.", "pool")
        self.gather_seconds = self._gauge(
            names.GATHER_SECONDS, "How long loops with many records let them gather; above 0 while this process waits for a processor."
        )
        self.sign_in_failures_total = self._counter(
            names.SIGN_IN_FAILURES_TOTAL, "Sign-ins refused, by what was presented: password, client_secret, api_key.", "kind"
        )

    def _counter(self, name: str, help_text: str, *labels: str) -> BoundedCounter:
        return self._bounded(BoundedCounter(name, help_text, labels, registry=self.registry))

    def _gauge(self, name: str, help_text: str, *labels: str) -> BoundedGauge:
        return self._bounded(BoundedGauge(name, help_text, labels, registry=self.registry))

    def _histogram(self, name: str, help_text: str, *labels: str, buckets: tuple[float, ...] = LATENCY_BUCKETS) -> BoundedHistogram:
        return self._bounded(BoundedHistogram(name, help_text, labels, buckets=buckets, registry=self.registry))

    def _bounded(self, metric: M) -> M:
        metric.bound(self._label_limit)
        return metric
