"""The dashboard to open first: is the fleet well, what flows through it, which worker is in trouble; written by `make dashboards`."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.topics import CONTEXTS
from infra.grafana.board import Board, Row, worker
from infra.grafana.boards.gateway import ANSWERED, CALLS, FAULTS
from infra.grafana.panels import Names, Panels, above, below, series, stat, states
from infra.grafana.queries import Query, leaders, or_zero, parked_keys, quantiles, rate, ratio

UP: Names = {0.0: ("down", "red"), 1.0: ("up", "green")}
HEALTH: Names = {0.0: ("healthy", "green"), 1.0: ("degraded", "yellow"), 2.0: ("unhealthy", "red")}
ERRORS = ratio(rate(CALLS, where=FAULTS), rate(CALLS, where=ANSWERED))


def rows() -> Sequence[Row]:
    """The panels, top to bottom."""
    return (
        Row("Is all well?", _well()),
        Row("What flows", _flow()),
        Row("Workers", _workers()),
    )


def _well() -> Panels:
    return [*_work_well(), *_faults_well()]


def _work_well() -> Panels:
    return [
        stat(
            "Workers down",
            "none",
            "Workers that Prometheus cannot reach. Above 0: a process is gone or hangs; its partitions pass to others after the "
            "session timeout.",
            or_zero('count(up{job="agentmesh"} == 0)'),
            above(1),
            runbook="worker-down",
        ),
        stat(
            "Unhealthy components",
            "none",
            "Checks that workers make of database, broker and event store, and that fail now. Above 0: the worker reports not ready. "
            "The cache counts at most as degraded.",
            or_zero("count(max by (worker, component) (agentmesh_component_health) == 2)"),
            above(1),
            more="agentmesh-infrastructure",
            runbook="component-unhealthy",
        ),
        stat(
            "Oldest waiting request",
            "s",
            "How long an unfinished request has not moved, at most, approvals apart. Minutes mean that a step is stuck: look for its "
            "task or its dead letter.",
            'max(agentmesh_oldest_waiting_seconds{kind="request"})',
            above(300, 900),
            more="agentmesh-requests",
            runbook="requests-stuck",
        ),
        stat(
            "Largest lag",
            "s",
            "The oldest record that a consumer, relay or read model has not handled. Seconds are normal under load; minutes mean "
            "that it stands still.",
            "max(agentmesh_lag_seconds)",
            above(30, 120),
            more="agentmesh-event-flow",
            runbook="consumer-lag-growing",
        ),
    ]


def _faults_well() -> Panels:
    return [
        stat(
            "Parked keys",
            "none",
            "Aggregates that stand still behind a dead letter. Above 0: somebody has to requeue or discard it; all other keys flow on.",
            parked_keys(),
            above(1),
            more="agentmesh-event-flow",
            runbook="keys-parked",
        ),
        stat(
            "Open circuits",
            "none",
            "Circuit breakers that let no call through. Above 0: that dependency fails; what needs it waits, or goes on without it.",
            or_zero("count(agentmesh_circuit_state == 1)"),
            above(1),
            more="agentmesh-infrastructure",
            runbook="circuit-open",
        ),
        stat(
            "API errors",
            "percentunit",
            "Share of the API's answers that were a fault of ours (5xx). From 0.1 % on, the promise of 99.9 % is being broken.",
            ERRORS,
            above(0.001, 0.01),
            decimals=2,
            more="agentmesh-gateway",
            runbook="gateway-error-rate",
        ),
        stat(
            "Leaders",
            "none",
            f"Contexts whose log some relay publishes. Below {len(CONTEXTS)}, the events of a context reach nobody until one takes over.",
            leaders(),
            below(1, len(CONTEXTS)),
            more="agentmesh-event-flow",
            runbook="relay-without-leader",
        ),
    ]


def _flow() -> Panels:
    return [
        series(
            "Events by type",
            "cps",
            "Events that command workers recorded. A type that vanishes while others go on shows the step at which requests stop.",
            [Query(rate("agentmesh_events_appended_total", "type"), "{{type}}")],
            stacked=True,
        ),
        series(
            "Requests in and out",
            "cps",
            "Requests created and ended. While the lines lie apart the fleet falls behind, and what waits grows.",
            [
                Query(rate("agentmesh_events_appended_total", where='type="RequestCreated"'), "created"),
                Query(rate("agentmesh_request_duration_seconds_count"), "ended"),
            ],
        ),
        series(
            "Time of a request",
            "s",
            "From creation to end, people's approvals included. A rising p95 with a flat median means that some wait for a "
            "person or for a retry.",
            quantiles("agentmesh_request_duration_seconds", exemplar=True),
            more="agentmesh-requests",
        ),
        series(
            "Waiting now",
            "none",
            "Open requests, tasks that nobody has started, approvals that nobody has decided. A line that only climbs does not keep up.",
            [Query("max by (kind) (agentmesh_waiting)", "{{kind}}")],
            whole=True,
            more="agentmesh-requests",
        ),
        series(
            "Lag by kind",
            "s",
            "The worst of each kind: consumer groups, relays, process managers, read models. The first that rises is nearest to the cause.",
            [Query("max by (kind) (agentmesh_lag_seconds)", "{{kind}}")],
            steps=above(30, 120),
            more="agentmesh-event-flow",
        ),
        series(
            "API calls",
            "reqps",
            "Calls answered by the gateway, by kind of status. 5xx are our faults; many 4xx mean a caller with a wrong token or body.",
            [Query(f'sum by (class) (label_replace({_answers()}, "class", "${{1}}xx", "status", "(.).*"))', "{{class}}")],
            stacked=True,
            more="agentmesh-gateway",
        ),
    ]


def _answers() -> str:
    return rate(CALLS, "status", ANSWERED)


def _workers() -> Panels:
    chosen = 'job="agentmesh",worker=~"$worker"'
    return [
        states(
            "Up",
            "Whether Prometheus reaches each worker. Red: the process is gone or hangs.",
            Query(f"min by (worker) (up{{{chosen}}})", "{{worker}}"),
            UP,
            runbook="replica-down",
        ),
        states(
            "Health of components",
            "The worst answer of each component over all workers. Degraded: slow, work goes on. Unhealthy: work that needs it "
            "stands still.",
            Query('max by (component) (agentmesh_component_health{worker=~"$worker"})', "{{component}}"),
            HEALTH,
            more="agentmesh-infrastructure",
            runbook="component-degraded",
        ),
        series(
            "Since the last attempt",
            "s",
            "How long ago each worker's main loop last tried to work. Above a minute it hangs: it reports not live, and its "
            "supervisor ends it.",
            [
                Query(
                    'topk(10, max by (exported_worker) (time() - agentmesh_worker_attempt_timestamp_seconds{worker=~"$worker"}))',
                    "{{exported_worker}}",
                )
            ],
            steps=above(30, 60),
            runbook="worker-without-progress",
        ),
        series(
            "Processor",
            "percentunit",
            "Processor time of each worker; 100 % is one core. A command worker at 100 % is the limit of its partitions: start another.",
            [Query(f"sum by (worker) (rate(process_cpu_seconds_total{{{chosen}}}[$__rate_interval]))", "{{worker}}")],
        ),
        series(
            "Memory",
            "bytes",
            "Resident memory of each worker. A line that climbs for hours is a leak; the limits are in compose.yaml.",
            [Query(f"sum by (worker) (process_resident_memory_bytes{{{chosen}}})", "{{worker}}")],
        ),
    ]


BOARD = Board(
    "agentmesh-fleet",
    "AgentMesh / Fleet overview",
    "Is the fleet well? The first row says it; each number leads to the dashboard that tells more.",
    rows,
    (worker,),
)
