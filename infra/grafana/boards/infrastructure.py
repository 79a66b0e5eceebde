"""What workers stand on: components' health, pools, breakers, bulkheads, cache, processes; written by `make dashboards`."""

from __future__ import annotations

from collections.abc import Sequence

from infra.grafana.board import Board, Row, worker
from infra.grafana.boards.fleet import HEALTH
from infra.grafana.boards.models import CIRCUIT
from infra.grafana.panels import Panels, above, series, stat, states
from infra.grafana.queries import Query, counted, or_zero, rate

MINE = 'worker=~"$worker"'
PROCESS = 'job="agentmesh",worker=~"$worker"'


def panels() -> Sequence[Row]:
    """The panels, top to bottom."""
    return (
        Row("Is all well?", _well()),
        Row("Health and circuits", _health()),
        Row("Pools, bulkheads, cache", _pools()),
        Row("Processes", _processes()),
        Row("Telemetry itself", _telemetry()),
    )


def _well() -> Panels:
    return [*_dependencies_well(), *_processes_well()]


def _dependencies_well() -> Panels:
    return [
        stat(
            "Worst health",
            "none",
            "The worst component of any worker. Unhealthy: that worker reports not ready. The cache counts at most as degraded.",
            "max(agentmesh_component_health)",
            ((None, "green"), (1, "yellow"), (2, "red")),
            names=HEALTH,
            spark=False,
            runbook="component-unhealthy",
        ),
        stat(
            "Open circuits",
            "none",
            "Circuit breakers that let no call through. Above 0: that dependency fails.",
            or_zero("count(agentmesh_circuit_state == 1)"),
            above(1),
            runbook="circuit-open",
        ),
        stat(
            "Waiting for a connection",
            "none",
            "Callers that wait for a connection of a pool. Above 0 for long: the pool is too small or its server too slow.",
            "sum(agentmesh_pool_waiting)",
            above(1, 10),
            runbook="pool-exhausted",
        ),
        stat(
            "Waiting at bulkheads",
            "none",
            "Calls that wait for a slot. Above 0 for long: the dependency behind it is slower than what asks it.",
            "sum(agentmesh_bulkhead_waiting)",
            above(1, 10),
        ),
    ]


def _processes_well() -> Panels:
    hits, misses = (counted(f"cache_{name}_total") for name in ("hits", "misses"))
    return [
        stat(
            "Cache hit ratio",
            "percentunit",
            "Reads that the cache answered in the time shown. Near 0: Redis is away, or nothing is read twice.",
            f"({or_zero(hits)}) / (({or_zero(hits)}) + ({or_zero(misses)}))",
            ((None, "yellow"), (0.2, "green")),
            spark=False,
        ),
        stat(
            "Certificate ends in",
            "s",
            "Until the first certificate expires. Below three weeks: renew it and restart the gateway. Below 0 nobody connects.",
            or_zero("min(agentmesh_tls_certificate_expiry_timestamp_seconds > 0) - time()"),
            ((None, "red"), (604_800, "yellow"), (1_814_400, "green")),
            names={0.0: ("no certificate", "text")},
            spark=False,
            runbook="certificate-expires",
        ),
        stat(
            "Errors logged",
            "none",
            "Lines of level error in the time shown. Above 0: agentmesh logs --level error.",
            or_zero(counted("agentmesh_log_lines_total", where='level=~"(?i)error|critical"')),
            above(1, 20),
            decimals=0,
            runbook="error-logs-burst",
        ),
        stat(
            "Largest process",
            "bytes",
            "Resident memory of the largest worker. At its limit (compose.yaml: 512 MiB, projections 1 GiB) it is killed and started anew.",
            'max(process_resident_memory_bytes{job="agentmesh"})',
            above(400_000_000, 500_000_000),
        ),
    ]


def _health() -> Panels:
    return [
        states(
            "Components by worker",
            "Every check of every worker. One component red everywhere is a server that is away; one worker red is that worker's "
            "connection.",
            Query(f"max by (worker, component) (agentmesh_component_health{{{MINE}}})", "{{worker}} · {{component}}"),
            HEALTH,
            runbook="component-unhealthy",
        ),
        states(
            "Circuits",
            "Open: calls are refused at once. Half-open: single calls are let through to see whether it is well again.",
            Query(f"max by (worker, name) (agentmesh_circuit_state{{{MINE}}})", "{{worker}} · {{name}}"),
            CIRCUIT,
            runbook="circuit-open",
        ),
        series(
            "Circuits that change",
            "cpm",
            "Changes a minute by new state. A circuit that opens and closes all the time has a dependency at its limit.",
            [Query(f"60 * {rate('agentmesh_circuit_transitions_total', 'name, state', MINE)}", "{{name}} {{state}}")],
        ),
        series(
            "Attempts repeated",
            "cps",
            "Remote calls tried again, by what is called. Short bursts are harmless; a steady rate is a dependency that limps.",
            [Query(rate("agentmesh_retries_total", "name", MINE), "{{name}}")],
        ),
        series(
            "Since the last attempt",
            "s",
            "How long ago each worker's main loop last tried to work. Above a minute it hangs.",
            [
                Query(
                    f"topk(10, max by (exported_worker) (time() - agentmesh_worker_attempt_timestamp_seconds{{{MINE}}}))",
                    "{{exported_worker}}",
                )
            ],
            steps=above(30, 60),
            runbook="worker-without-progress",
        ),
    ]


def _pools() -> Panels:
    return [
        series(
            "Connections by state",
            "none",
            "Connections to Postgres and Redis over all pools. All in use and callers waiting: the pool is too small.",
            [Query(f"sum by (state) (agentmesh_pool_connections{{{MINE}}})", "{{state}}")],
            whole=True,
        ),
        series(
            "Connections in use by pool",
            "none",
            "To Postgres, and to Redis where the name ends so. The sum of those to Postgres must stay below its max_connections.",
            [Query(f'sum by (pool) (agentmesh_pool_connections{{{MINE},state!="idle"}})', "{{pool}}")],
            whole=True,
        ),
        series(
            "Waiting for a connection",
            "none",
            "Callers by pool. Above 0 for long: raise the pool, or find the slow statement.",
            [Query(f"sum by (pool) (agentmesh_pool_waiting{{{MINE}}})", "{{pool}}")],
            whole=True,
            runbook="pool-exhausted",
        ),
        series(
            "Bulkheads",
            "none",
            "Slots in use and calls that wait, by what they protect. Waiting ones are slowed down so that the rest is not.",
            [
                Query(f"sum by (name) (agentmesh_bulkhead_active{{{MINE}}})", "{{name}} active"),
                Query(f"sum by (name) (agentmesh_bulkhead_waiting{{{MINE}}})", "{{name}} waiting"),
            ],
            whole=True,
        ),
        series(
            "Refused by bulkheads",
            "cpm",
            "Calls refused because the waiting room was full. Any at all: load is above what the dependency can take.",
            [Query(f"60 * {rate('agentmesh_bulkhead_refused_total', 'name', MINE)}", "{{name}}")],
            runbook="bulkhead-refuses",
        ),
        series(
            "Cache",
            "cps",
            "Reads answered by the cache and reads that were fetched. Misses alone: Redis is away or was emptied.",
            [
                Query(rate("cache_hits_total", "cache_type", MINE), "hit {{cache_type}}"),
                Query(rate("cache_misses_total", "cache_type", MINE), "miss {{cache_type}}"),
            ],
        ),
    ]


def _processes() -> Panels:
    return [
        series(
            "Processor",
            "percentunit",
            "Processor time of each worker; 100 % is one core. A worker that stays there is the limit of its work: start another.",
            [Query(f"sum by (worker) (rate(process_cpu_seconds_total{{{PROCESS}}}[$__rate_interval]))", "{{worker}}")],
        ),
        series(
            "Memory",
            "bytes",
            "Resident memory. A line that climbs for hours is a leak.",
            [Query(f"sum by (worker) (process_resident_memory_bytes{{{PROCESS}}})", "{{worker}}")],
        ),
        series(
            "Open files",
            "none",
            "File descriptors, connections included. A line that climbs for hours is a leak of connections.",
            [Query(f"sum by (worker) (process_open_fds{{{PROCESS}}})", "{{worker}}")],
            whole=True,
        ),
        series(
            "Since the start",
            "s",
            "How long each process has been running. A saw is a worker that dies again and again: look at its log.",
            [Query(f"min by (worker) (time() - process_start_time_seconds{{{PROCESS}}})", "{{worker}}")],
            runbook="worker-restarts-often",
        ),
        series(
            "Records gather for",
            "s",
            "Above 0 a process waits for a processor, and lets records gather so that each batch is larger. Always above 0: the "
            "machine is too small.",
            [Query(f"max by (worker) (agentmesh_gather_seconds{{{MINE}}})", "{{worker}}")],
        ),
        series(
            "Garbage collections",
            "cps",
            "Runs of Python's collector. Workers collect by the clock; a rate above one a second wastes processor time.",
            [Query(f"sum by (worker) (rate(python_gc_collections_total{{{PROCESS}}}[$__rate_interval]))", "{{worker}}")],
        ),
    ]


def _telemetry() -> Panels:
    return [
        series(
            "Lines logged",
            "cps",
            "By level. Errors at a steady rate are a defect; warnings in bursts are usually a server that was away.",
            [Query(rate("agentmesh_log_lines_total", "level", MINE), "{{level}}")],
            stacked=True,
            runbook="error-logs-burst",
        ),
        series(
            "Spans lost",
            "cps",
            "Spans that could not be exported. The work goes on; traces are incomplete until the collector is back.",
            [Query(rate("agentmesh_spans_dropped_total", "worker", MINE), "{{worker}}")],
            runbook="spans-dropped",
        ),
        series(
            "Scrapes",
            "s",
            "How long Prometheus waits for each worker's metrics. Near a second the worker's loop is blocked, or it has too many series.",
            [Query(f"max by (worker) (scrape_duration_seconds{{{PROCESS}}})", "{{worker}}")],
            steps=above(0.5, 1),
        ),
    ]


BOARD = Board(
    "agentmesh-infrastructure",
    "AgentMesh / Infrastructure",
    "What workers stand on: health, circuits, pools, cache, processor and memory.",
    panels,
    (worker,),
)
