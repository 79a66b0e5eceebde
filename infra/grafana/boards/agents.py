"""Agents, the tasks that they are given and how their runs end; written by `make dashboards`."""

from __future__ import annotations

from collections.abc import Sequence

from infra.grafana.board import Board, Row, tenant
from infra.grafana.panels import Panels, above, below, rows, series, stat
from infra.grafana.queries import Query, counted, or_none, or_zero, quantile, quantiles, rate, ratio, statement

RUNS = "agent_execution_duration_seconds"
TASKS = "agentmesh_tasks_completed_total"
KINDS = statement("tasks_by_kind")
SLOWEST = statement("slowest_tasks")
FAILED = statement("failed_tasks")


def told_by_leader(where: str) -> str:
    """How many agents are so; while the lead changes two dispatchers may tell of the same ones."""
    return f"sum(max by (tenant_id, status) (agentmesh_active_agents{{{where}}}))"


def panels() -> Sequence[Row]:
    """The panels, top to bottom."""
    return (Row("Is all well?", _well()), Row("Dispatch", _dispatch()), Row("Runs", _runs()), Row("One by one", _one_by_one()))


def _well() -> Panels:
    return [*_agents_well(), *_tasks_well()]


def _agents_well() -> Panels:
    return [
        stat(
            "Live hosts",
            "none",
            "Agent hosts whose heartbeat the leading dispatcher hears. 0: nothing is worked on, all tasks wait.",
            "max(agentmesh_live_hosts)",
            ((None, "red"), (1, "green")),
            runbook="tasks-wait-without-agents",
        ),
        stat(
            "Agents fit for work",
            "none",
            "Agents that are free or busy. 0: tasks wait until an agent registers, resumes or recovers.",
            told_by_leader('status=~"available|busy"'),
            ((None, "red"), (1, "green")),
            runbook="tasks-wait-without-agents",
        ),
        stat(
            "Agents unhealthy",
            "none",
            "Agents of a kind without a live host, or whose leases expired three times. Above 0: look at their hosts' logs.",
            or_zero(told_by_leader('status="unhealthy"')),
            above(1),
            runbook="agents-unhealthy",
        ),
        stat(
            "Tasks waiting",
            "none",
            "Tasks that nobody has started. It may be large; it must not only grow.",
            'max(agentmesh_waiting{kind="task"})',
        ),
    ]


def _tasks_well() -> Panels:
    return [
        stat(
            "Oldest task",
            "s",
            "How long the oldest task that nobody has started has waited. Beyond a few minutes no agent takes it.",
            'max(agentmesh_oldest_waiting_seconds{kind="task"})',
            above(120, 600),
            runbook="tasks-wait-too-long",
        ),
        stat(
            "Wait for an agent, p95",
            "s",
            "From asking for a task to its assignment. Seconds mean that all agents of the kind are taken: start hosts or raise limits.",
            quantile(0.95, "agentmesh_dispatch_wait_seconds", window="$__range"),
            above(1, 10),
            spark=False,
        ),
        stat(
            "Runs that succeed",
            "percentunit",
            "Of the runs that ended in the time shown. A failed run is tried again up to the task's limit; below 90 % something is wrong.",
            ratio(counted(TASKS, where='status="SUCCESS"'), counted(TASKS)),
            below(0.8, 0.95),
            spark=False,
        ),
        stat(
            "Agents found unhealthy",
            "none",
            "Times that an agent was found unhealthy in the time shown. Many of one agent: its host comes and goes.",
            or_zero(counted("agentmesh_health_check_failures_total")),
            above(1, 10),
            decimals=0,
        ),
    ]


def _dispatch() -> Panels:
    return [
        series(
            "Agents by status",
            "none",
            "What the agents' streams say. Unhealthy or draining ones take nothing; the others share their work.",
            [Query("sum by (status) (max by (tenant_id, status) (agentmesh_active_agents))", "{{status}}")],
            stacked=True,
            whole=True,
        ),
        series(
            "Decisions of the dispatcher",
            "cps",
            "What became of each look for an agent. Much that is not assigned means that no agent fits or all are busy.",
            [Query(rate("agentmesh_dispatch_decisions_total", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        series(
            "Wait for an agent",
            "s",
            "From asking for a task to its assignment. When it rises while agents are idle, look at the dispatcher.",
            quantiles("agentmesh_dispatch_wait_seconds"),
            steps=above(1, 10),
        ),
        series(
            "Live hosts",
            "none",
            "Hosts that the dispatcher hears. A step down is a host that ended or was cut off.",
            [Query("max(agentmesh_live_hosts)", "hosts")],
            whole=True,
            runbook="tasks-wait-without-agents",
        ),
        series(
            "Steps of tasks",
            "cps",
            "Events of tasks by type. TaskReassigned and TaskTimedOut are runs that were lost; TaskQueued above TaskAssigned is "
            "a growing queue.",
            [Query(rate("agentmesh_events_appended_total", "type", 'type=~"Task.*"'), "{{type}}")],
        ),
        series(
            "Agents found unhealthy",
            "cpm",
            "Found a minute, by reason. no_live_host: no process of the kind answers. leases_expired: it answers but loses its runs.",
            [
                Query(
                    or_none(f"60 * {rate('agentmesh_health_check_failures_total', 'failure_reason')}", "failure_reason"),
                    "{{failure_reason}}",
                )
            ],
        ),
    ]


def _runs() -> Panels:
    return [
        series(
            "Runs by outcome",
            "cps",
            "FAILURE is tried again until the task's limit, TIMEOUT means the deadline passed. Either in a steady share is a "
            "fault of a kind of agent.",
            [Query(rate(TASKS, "status"), "{{status}}")],
            stacked=True,
        ),
        series(
            "Time of a run, p95 by kind",
            "s",
            "How long agents work on one attempt. When it comes near the deadline, runs are cut off and repeated.",
            [Query(quantile(0.95, RUNS, "agent_type"), "{{agent_type}}")],
        ),
        series(
            "Errors of runs",
            "cps",
            "Runs without success by kind and error. ModelUnavailable: the model does not answer. InvalidInput and the like are defects.",
            [Query(rate("agent_execution_errors_total", "agent_type, error_type"), "{{agent_type}} · {{error_type}}")],
            runbook="agent-errors-burst",
        ),
        series(
            "Tasks by type, p95",
            "s",
            "The same by type of task, over all agents. One type that takes longer than it did has a model or a service that is slow.",
            [Query(quantile(0.95, "agentmesh_task_execution_seconds", "task_type"), "{{task_type}}")],
        ),
        series(
            "Busiest agents",
            "cps",
            "Runs a second of the ten busiest agents. One far above the others of its kind has a limit that is set too high.",
            [Query(f"topk(10, {rate(TASKS, 'agent_id')})", "{{agent_id}}")],
        ),
        series(
            "Effects on the outside",
            "cps",
            "What became of refunds, mails and model calls. `waiting` is left to a person: agentmesh effects list. `repeated` costs twice.",
            [Query(rate("agentmesh_effects_total", "name, outcome"), "{{name}} · {{outcome}}")],
        ),
    ]


def _one_by_one() -> Panels:
    return [
        rows(
            "Tasks by kind and status",
            "The tasks asked for in the time shown. Many `queued` of one kind: no agent takes them.",
            KINDS,
            {"median": "ms"},
        ),
        rows(
            "Failed and retried",
            "Tasks that needed more than one attempt or failed, by error. Many of one error have one cause: a model, a service, a defect.",
            FAILED,
        ),
        rows(
            "Slowest tasks",
            "`queued` is the wait for an agent, `worked` the time with it. A long first one asks for agents, a long second one "
            "for the model's log.",
            SLOWEST,
            {"queued": "s", "worked": "s"},
            span=24,
        ),
    ]


BOARD = Board(
    "agentmesh-agents",
    "AgentMesh / Agents and dispatch",
    "Which agents are there, how long tasks wait for one, how their runs end.",
    panels,
    (tenant,),
    uses_sql=True,
)
