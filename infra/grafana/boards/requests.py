"""Requests and the approvals that they wait for: how many, how long, which; written by `make dashboards`."""

from __future__ import annotations

from collections.abc import Sequence

from infra.grafana.board import Board, Row, request, tenant
from infra.grafana.panels import Panels, above, below, rows, series, stat
from infra.grafana.queries import Query, counted, or_zero, quantile, quantiles, rate, ratio, statement

DURATION = "agentmesh_request_duration_seconds"
WAIT = "agentmesh_approval_wait_seconds"
SLOWEST = statement("slowest_requests")
APPROVALS = statement("approvals_waiting")
TIMELINE = statement("timeline")
BY_STATUS = statement("requests_by_status")


def panels() -> Sequence[Row]:
    """The panels, top to bottom."""
    return (Row("Is all well?", _well()), Row("Requests", _requests()), Row("Approvals", _approvals()), Row("One by one", _one_by_one()))


def _well() -> Panels:
    return [*_requests_well(), *_approvals_well()]


def _requests_well() -> Panels:
    return [
        stat(
            "Unfinished requests",
            "none",
            "Requests that are neither ended nor given up. It may be large; it must not only grow.",
            'max(agentmesh_waiting{kind="request"})',
        ),
        stat(
            "Oldest waiting request",
            "s",
            "How long an unfinished request has not moved, at most, approvals apart. Minutes mean that a step is stuck.",
            'max(agentmesh_oldest_waiting_seconds{kind="request"})',
            above(300, 900),
            runbook="requests-stuck",
        ),
        stat(
            "Completed",
            "percentunit",
            "Of the requests that ended in the time shown, how many were completed. Less than usual: look at failures by status below.",
            ratio(counted(f"{DURATION}_count", where='status="completed"'), counted(f"{DURATION}_count")),
            below(0.8, 0.95),
            spark=False,
        ),
        stat(
            "p95 of a request",
            "s",
            "19 of 20 requests ended sooner, people's approvals included. Above the usual: the slowest are below, each with its timeline.",
            quantile(0.95, DURATION, window="$__range"),
            spark=False,
        ),
    ]


def _approvals_well() -> Panels:
    return [
        stat(
            "Approvals pending",
            "none",
            "Requests that wait for a person. Above what people decide in a day, they will be late.",
            "max(agentmesh_approvals_pending)",
            above(50, 200),
        ),
        stat(
            "Oldest approval",
            "s",
            "How long the oldest pending approval has waited. After the tenant's time limit (72 hours unless set) it expires.",
            'max(agentmesh_oldest_waiting_seconds{kind="approval"})',
            above(86_400, 172_800),
            runbook="approval-nearly-forgotten",
        ),
        stat(
            "Refused commands",
            "none",
            "Commands that a rule refused in the time shown. Many of one code mean a caller that does not know the state it acts on.",
            or_zero(counted("agentmesh_commands_rejected_total")),
            above(100, 1000),
            decimals=0,
        ),
        stat(
            "Parked keys of requests",
            "none",
            "Requests that stand still behind a dead letter. Above 0: requeue or discard it.",
            'max(agentmesh_parked_keys{context="requests"})',
            above(1),
            more="agentmesh-event-flow",
            runbook="keys-parked",
        ),
    ]


def _requests() -> Panels:
    return [
        series(
            "Created and ended",
            "cps",
            "Requests a second. While creation lies above the ends, what waits grows.",
            [
                Query(rate("agentmesh_events_appended_total", where='type="RequestCreated"'), "created"),
                Query(rate(f"{DURATION}_count", "status"), "{{status}}"),
            ],
        ),
        series(
            "Time from creation to end",
            "s",
            "Quantiles over all requests, approvals included. When only the tail rises, look at approvals and retries; when the "
            "median does, at agents.",
            quantiles(DURATION, exemplar=True),
        ),
        series(
            "Median by how it ended",
            "s",
            "Failures that take long have used up their attempts; failures that come at once are refused by a rule.",
            [Query(quantile(0.5, DURATION, "status"), "{{status}}")],
        ),
        series(
            "Steps of requests",
            "cps",
            "Events of requests by type. Where one step's rate falls below that of the step before, requests stop between the two.",
            [Query(rate("agentmesh_events_appended_total", "type", 'type=~"Request.*|Research.*|Processing.*"'), "{{type}}")],
            stacked=True,
        ),
        series(
            "Unfinished",
            "none",
            "Open requests, and tasks that nobody has started. A climbing line of tasks means too few agents; of requests alone, "
            "a stuck process.",
            [Query('max by (kind) (agentmesh_waiting{kind=~"request|task"})', "{{kind}}")],
            whole=True,
        ),
        series(
            "Refused commands by code",
            "cps",
            "Rejections by topic and code. They are answers, not faults; a new code after a release is worth a look.",
            [Query(f"topk(10, {rate('agentmesh_commands_rejected_total', 'topic, code')})", "{{code}} · {{topic}}")],
        ),
    ]


def _approvals() -> Panels:
    return [
        series(
            "Decisions",
            "cpm",
            "Approvals decided a minute, by decision. Expired ones were decided by nobody: their approvers do not look.",
            [Query(f"60 * {rate(f'{WAIT}_count', 'decision')}", "{{decision}}")],
            stacked=True,
        ),
        series(
            "Wait for a decision",
            "s",
            "How long people took, from asking to decision. Days mean that requests stand still for a person.",
            quantiles(WAIT),
        ),
        series(
            "Pending",
            "none",
            "Approvals that wait. It should fall to nearly nothing once a working day.",
            [Query("max(agentmesh_approvals_pending)", "pending")],
            whole=True,
        ),
    ]


def _one_by_one() -> Panels:
    return [
        rows(
            "Slowest requests",
            "The requests of the time shown that took longest, unfinished ones up to now. Its id in the box above shows where one waited.",
            SLOWEST,
            {"seconds": "s"},
        ),
        rows(
            "Approvals waiting",
            "Oldest first. `left` is the time until the approval expires; below zero the scheduler is about to expire it.",
            APPROVALS,
            {"waiting": "s", "left": "s"},
        ),
        rows(
            "By status",
            "The requests created in the time shown, by where they are now. A large median of an open status: they stand still there.",
            BY_STATUS,
            {"median": "s"},
            span=8,
        ),
        rows(
            "Timeline of one request",
            "Every event of the request in the box above, of its tasks too; `since` is the time since the event before. A long "
            "gap is where it waited.",
            TIMELINE,
            {"since": "s", "duration_ms": "ms"},
            span=16,
        ),
    ]


BOARD = Board(
    "agentmesh-requests",
    "AgentMesh / Requests and approvals",
    "How many requests come and end, how long they take, what they wait for; and which they are, from the read models.",
    panels,
    (tenant, request),
    uses_sql=True,
)
