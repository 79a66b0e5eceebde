"""Counts of a tenant and a period from their read model; the work behind `analytics`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from projections.analytics.queries import AnalyticsView, GetAnalytics, get_analytics
from services.cli.errors import WrongUsage
from services.cli.mesh import open_mesh
from services.cli.moments import moment
from services.cli.output import Output, print_facts, print_json, print_table

TASK_COLUMNS = ("tasks of kind", "total", "open", "success", "failure", "timeout", "attempts", "mean work")
MODEL_COLUMNS = ("model", "calls", "input tokens", "output tokens", "cost")


async def analytics(tenant: str, since: str, until: str | None, output: Output) -> None:
    """Count what a tenant had in a period. Raises WrongUsage for a period that ends before it begins."""
    now = datetime.now(UTC)
    query = GetAnalytics(
        tenant_id=tenant, since=moment("--since", since, now), until=now if until is None else moment("--until", until, now)
    )
    if query.since >= query.until:
        raise WrongUsage(f"The period ends before it begins: --since {since} is not before --until {until or 'now'}.")
    async with open_mesh() as mesh:
        found = await get_analytics(mesh.database, query)
    if output is Output.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


def _print(found: AnalyticsView) -> None:
    requests = found.requests
    mean = requests.mean_seconds_to_completion
    facts: dict[str, object] = {
        "tenant": found.tenant_id,
        "since": found.since,
        "until": found.until,
        "requests": requests.total,
        "by status": _counts(requests.by_status),
        "by category": _counts(requests.by_category),
        "escalated": requests.escalated,
        "mean to completion": None if mean is None else f"{mean:.3f} s",
    }
    print_facts(facts)
    print()
    tasks: list[list[object]] = []
    for kind in found.tasks:
        outcomes = [kind.by_outcome.get(name, 0) for name in ("SUCCESS", "FAILURE", "TIMEOUT")]
        work = None if kind.mean_work_ms is None else f"{kind.mean_work_ms:.1f} ms"
        tasks.append([kind.kind, kind.total, kind.open, *outcomes, kind.attempts, work])
    print_table(TASK_COLUMNS, tasks, empty="No task.")
    print()
    models: list[list[object]] = [
        [used.model, used.calls, used.input_tokens, used.output_tokens, f"${used.cost:f}"] for used in found.models
    ]
    print_table(MODEL_COLUMNS, models, empty="No model was used.")


def _counts(counts: Mapping[str, int]) -> str | None:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or None
