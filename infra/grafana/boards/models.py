"""What models are asked, what they cost and how they answer; written by `make dashboards`."""

from __future__ import annotations

from collections.abc import Sequence

from infra.grafana.board import Board, Row, tenant
from infra.grafana.panels import Names, Panels, above, rows, series, stat, states
from infra.grafana.queries import Query, counted, or_zero, quantile, rate, statement

COST = "agentmesh_llm_cost_usd_total"
TOKENS = "llm_tokens_used_total"
CIRCUIT: Names = {0.0: ("closed", "green"), 1.0: ("open", "red"), 2.0: ("half-open", "yellow")}
BY_MODEL = statement("cost_by_model")
BY_TENANT = statement("cost_by_tenant")
DEAREST = statement("dearest_tasks")


def panels() -> Sequence[Row]:
    """The panels, top to bottom."""
    return (Row("Is all well?", _well()), Row("Use", _use()), Row("Answers", _answers()), Row("One by one", _one_by_one()))


def _well() -> Panels:
    return [
        stat(
            "Cost",
            "currencyUSD",
            "What calls cost in the time shown, as far as prices are known. Far above the usual: see below by whom and for what.",
            or_zero(counted(COST)),
            span=4,
            decimals=4,
        ),
        stat(
            "Cost an hour",
            "currencyUSD",
            "At the present rate. A jump with steady requests means longer prompts or a dearer model.",
            or_zero(f"3600 * {rate(COST)}"),
            above(10, 50),
            span=4,
            decimals=2,
            runbook="model-cost-burst",
        ),
        stat(
            "Cost of a request",
            "currencyUSD",
            "Cost in the time shown by requests that ended in it. It should be steady; retries and repeats raise it.",
            f"({or_zero(counted(COST))}) / {counted('agentmesh_request_duration_seconds_count')}",
            above(0.1, 1),
            span=4,
            decimals=5,
        ),
        stat(
            "Tokens",
            "short",
            "Input and output tokens in the time shown. More than usual with as many requests: prompts have grown, or runs repeat.",
            or_zero(counted(TOKENS)),
            span=4,
        ),
        stat(
            "Runs without a model's answer",
            "none",
            "Runs that failed because a model did not answer or answered nonsense, in the time shown. They are tried again, and "
            "cost again.",
            or_zero(counted("agent_execution_errors_total", where='error_type=~"Model.*|.*Answer.*"')),
            above(5, 50),
            span=4,
            decimals=0,
        ),
        stat(
            "Open circuits of models",
            "none",
            "Circuits to a model that let no call through. Above 0: its tasks fail at once and are tried later.",
            or_zero('count(agentmesh_circuit_state{name=~"model.*"} == 1)'),
            above(1),
            span=4,
            runbook="circuit-open",
        ),
    ]


def _use() -> Panels:
    return [
        series(
            "Tokens by model",
            "cps",
            "Tokens a second. A model that nobody configured here is a setting gone wrong.",
            [Query(rate(TOKENS, "model"), "{{model}}")],
            stacked=True,
        ),
        series(
            "Tokens by operation",
            "cps",
            "The same by what they are used for. One operation far above its usual share has a prompt that grew.",
            [Query(rate(TOKENS, "operation"), "{{operation}}")],
            stacked=True,
        ),
        series(
            "Cost an hour by model",
            "currencyUSD",
            "US dollars an hour at the present rate. A line that jumps while requests do not has longer prompts, or runs that repeat.",
            [Query(f"3600 * {rate(COST, 'model, operation')}", "{{model}} · {{operation}}")],
            stacked=True,
            runbook="model-cost-burst",
        ),
    ]


def _answers() -> Panels:
    return [
        series(
            "Time of a run, p95",
            "s",
            "Runs of agents, most of which is waiting for the model. Near the model's time limit, calls are cut off and repeated.",
            [Query(quantile(0.95, "agent_execution_duration_seconds", "agent_type"), "{{agent_type}}")],
        ),
        series(
            "Calls repeated",
            "cps",
            "Attempts repeated after a transient failure: 429, 5xx, a broken connection. A steady rate means the provider throttles us.",
            [Query(rate("agentmesh_retries_total", "name", 'name=~"model.*"'), "{{name}}")],
        ),
        states(
            "Circuits of models",
            "Open: the model failed so often that calls are refused at once, until one that is let through succeeds.",
            Query('max by (name) (agentmesh_circuit_state{name=~"model.*"})', "{{name}}"),
            CIRCUIT,
            span=8,
            runbook="circuit-open",
        ),
    ]


def _one_by_one() -> Panels:
    return [
        rows(
            "By model and kind",
            "What each kind of agent asked which model, from the events of tasks. A model nobody gave it is a setting gone wrong.",
            BY_MODEL,
            {"cost": "currencyUSD"},
        ),
        rows("By tenant", "Who the calls were made for. One tenant far ahead may need a limit.", BY_TENANT, {"cost": "currencyUSD"}),
        rows(
            "Dearest tasks",
            "The tasks of the time shown that cost most; many attempts make one dear.",
            DEAREST,
            {"cost": "currencyUSD"},
            span=24,
        ),
    ]


BOARD = Board(
    "agentmesh-models",
    "AgentMesh / Models and cost",
    "What models cost, for whom, and whether they answer.",
    panels,
    (tenant,),
    uses_sql=True,
)
