"""The API as its callers meet it, against its objectives; written by `make dashboards`."""

from __future__ import annotations

from collections.abc import Sequence

from infra.grafana.board import Board, Row
from infra.grafana.panels import Panels, above, below, series, stat
from infra.grafana.queries import Query, counted, or_none, or_zero, quantile, quantiles, rate, ratio

CALLS = "http_requests_total"
TIME = "http_request_duration_seconds"
API = 'endpoint=~"/api/.*"'
ANSWERED = API + ',status!="0"'
FAULTS = API + ',status=~"5.."'
NO_STREAMS = API + ',endpoint!~".*/(events|stream)"'
READS = NO_STREAMS + ',method="GET"'
OBJECTIVE = 0.999
# The recorded shares of the objectives (infra/prometheus/rules), and how much of each is allowed.
BUDGETS = (
    ("gateway:http_errors", "faults", 0.001),
    ("gateway:http_reads_over_100ms", "reads over 100 ms", 0.05),
    ("gateway:http_reads_over_500ms", "reads over 500 ms", 0.01),
)


def panels() -> Sequence[Row]:
    """The panels, top to bottom."""
    return (
        Row("Is all well?", _well()),
        Row("Objectives", _objectives()),
        Row("Calls", _calls()),
        Row("Refusals", _refusals()),
        Row("Streams", _streams()),
    )


def _well() -> Panels:
    return [*_promises_kept(), *_callers_well()]


def _promises_kept() -> Panels:
    faults = ratio(counted(CALLS, where=FAULTS), counted(CALLS, where=ANSWERED))
    return [
        stat(
            "Availability",
            "percentunit",
            "Share of calls in the time shown that were not answered 5xx. The promise is 99.9 %. Below it, look at faults by route.",
            f"1 - {faults}",
            below(OBJECTIVE, 0.9995),
            decimals=3,
            spark=False,
            runbook="gateway-availability-budget-burn",
        ),
        stat(
            "Error budget left",
            "percentunit",
            "Of the faults that 99.9 % allows in the time shown, how many are left. Below 0 the promise is broken: changes stop "
            "until it recovers.",
            f"1 - ({faults}) / {1 - OBJECTIVE:.3f}",
            below(0, 0.5),
            decimals=0,
            spark=False,
            runbook="gateway-availability-budget-burn",
        ),
        stat(
            "p50",
            "s",
            "Half of the reads took no longer. Target: below 100 ms. Above it everybody waits: the processor or the database is the limit.",
            quantile(0.5, TIME, where=READS, window="$__range"),
            above(0.08, 0.1),
            spark=False,
        ),
        stat(
            "p95",
            "s",
            "19 of 20 reads took no longer. Target: below 100 ms. Above it, look at p95 by route, then at the database's pool.",
            quantile(0.95, TIME, where=READS, window="$__range"),
            above(0.1, 0.5),
            spark=False,
            runbook="gateway-latency-p95-budget-burn",
        ),
    ]


def _callers_well() -> Panels:
    return [
        stat(
            "p99",
            "s",
            "99 of 100 reads took no longer. Target: below 500 ms. Above it, a few reads wait for something: a lock, a cold cache.",
            quantile(0.99, TIME, where=READS, window="$__range"),
            above(0.5, 1),
            spark=False,
            runbook="gateway-latency-p99-budget-burn",
        ),
        stat("Calls", "reqps", "Calls answered a second. Nothing at all means that callers cannot reach us.", rate(CALLS, where=ANSWERED)),
        stat(
            "Refused sign-ins",
            "none",
            "In the time shown. A burst is a wrong password in a deployment, or somebody who tries.",
            or_zero(counted("agentmesh_sign_in_failures_total")),
            above(20, 200),
            decimals=0,
            runbook="sign-in-failures-burst",
        ),
        stat(
            "Open streams",
            "none",
            "Streams of events that readers hold. Each costs memory; above the gateway's limit further readers are refused with 503.",
            "sum(agentmesh_event_streams)",
        ),
    ]


def _objectives() -> Panels:
    return [
        series(
            "Time of a read",
            "s",
            "Over all reads but streams. Targets: p50 and p95 below 100 ms, p99 below 500 ms. When all rise, look at the "
            "database's pool first.",
            quantiles(TIME, READS, exemplar=True),
            steps=above(0.1, 0.5),
            runbook="gateway-latency-p95-budget-burn",
        ),
        series(
            "Share of faults",
            "percentunit",
            "Answers 5xx. Above 0.1 % the error budget shrinks.",
            [Query(ratio(rate(CALLS, where=FAULTS), rate(CALLS, where=ANSWERED)), "faults")],
            steps=above(0.001, 0.0144),
            runbook="gateway-error-rate",
        ),
        series(
            "Burn rates",
            "none",
            "How many times faster than allowed each objective's budget is used, over 5 minutes and over an hour. 1 uses it up in 30 days; "
            "14.4 in both windows pages somebody.",
            [
                Query(f"{rule}:ratio_rate{window} / {allowed:g}", f"{name}, {window}")
                for rule, name, allowed in BUDGETS
                for window in ("5m", "1h")
            ],
            steps=above(1, 14.4),
            runbook="gateway-availability-budget-burn",
        ),
    ]


def _calls() -> Panels:
    return [
        series(
            "Calls by status",
            "reqps",
            "202 means that the outcome was not waited for; 401, 403 and 429 are refusals; 503 means that a server is away.",
            [Query(rate(CALLS, "status", ANSWERED), "{{status}}")],
            stacked=True,
        ),
        series(
            "Calls by route",
            "reqps",
            "By method and template of the route: what load is made of. One route that jumps is a caller in a loop.",
            [Query(f"topk(10, {rate(CALLS, 'method, endpoint', ANSWERED)})", "{{method}} {{endpoint}}")],
        ),
        series(
            "p95 by route",
            "s",
            "The slowest routes. Those that wait for an outcome on request are slow by wish; a list that is slow lacks an index.",
            [Query(f"topk(10, {quantile(0.95, TIME, 'method, endpoint', NO_STREAMS)})", "{{method}} {{endpoint}}")],
        ),
        series(
            "In work",
            "none",
            "Calls and batches that each worker handles at the moment. A climbing line of the gateway means that answers do not come.",
            [Query('sum by (worker) (active_requests{job="agentmesh"})', "{{worker}}")],
            whole=True,
        ),
        series(
            "Cache hit ratio",
            "percentunit",
            "Reads that the cache answered, by kind. It falls to 0 while Redis is away: reads then go to Postgres, and are slower.",
            [Query(_hit_ratio(), "{{cache_type}}")],
        ),
        series(
            "Faults by route",
            "reqps",
            "Answers 5xx by route. A single route is a defect; all of them is a server that is away.",
            [Query(or_none(f"{rate(CALLS, 'method, endpoint, status', FAULTS)} > 0", "endpoint"), "{{method}} {{endpoint}} {{status}}")],
        ),
    ]


def _hit_ratio() -> str:
    hits, misses = (rate(f"cache_{name}_total", "cache_type") for name in ("hits", "misses"))
    return f"{hits} / ({hits} + {misses})"


def _refusals() -> Panels:
    return [
        series(
            "Sign-ins refused",
            "cpm",
            "By what was presented: a password, a client's secret, an API key. A burst of one kind is a deployment with an old "
            "secret, or an attack.",
            [Query(f"60 * {rate('agentmesh_sign_in_failures_total', 'kind')}", "{{kind}}")],
            runbook="sign-in-failures-burst",
        ),
        series(
            "Permissions refused",
            "cpm",
            "Callers that are known and may not do this. A steady rate is a role that lacks a permission, or a client that tries.",
            [Query(f"60 * {rate('agentmesh_permissions_refused_total', 'permission')}", "{{permission}}")],
            runbook="permissions-refused-burst",
        ),
        series(
            "Rate limited",
            "cpm",
            "Calls answered 429 by class of route. One tenant that is limited always has a limit that does not fit it.",
            [Query(f"60 * {rate('agentmesh_rate_limited_total', 'route_class')}", "{{route_class}}")],
            runbook="rate-limited-burst",
        ),
    ]


def _streams() -> Panels:
    return [
        series(
            "Open streams",
            "none",
            "Readers that follow events. A sudden fall means that a gateway ended or tokens ran out at once.",
            [Query("sum by (worker) (agentmesh_event_streams)", "{{worker}}")],
            whole=True,
        ),
        series(
            "Events sent",
            "cps",
            "Events sent on streams, each reader counted. Nothing while events are appended means that the tail stands still.",
            [Query(rate("agentmesh_events_streamed_total"), "events")],
        ),
        series(
            "Streams closed",
            "cpm",
            "By reason. too_slow: a reader does not keep up. unavailable, failed: a fault of ours; readers come back by themselves.",
            [Query(f"60 * {rate('agentmesh_event_streams_closed_total', 'reason')}", "{{reason}}")],
        ),
    ]


BOARD = Board(
    "agentmesh-gateway",
    "AgentMesh / Gateway and SLOs",
    "The API as its callers meet it: availability and speed against the objectives, who is refused, who follows events.",
    panels,
)
