"""Requests from their read models; the work behind `requests list`, `show` and `timeline`."""

from __future__ import annotations

from contracts.requests.values import Priority, RequestStatus
from projections.requests.queries import GetRequest, ListRequests, RequestView, get_request, list_requests
from projections.timeline.queries import GetTimeline, request_timeline
from services.cli.event_log import short_data, short_type
from services.cli.mesh import open_mesh
from services.cli.output import Output, console, print_facts, print_json, print_table
from services.cli.timeline import timeline_tree
from services.cli.views import check_choice, existing, print_views

COLUMNS = ("request", "status", "priority", "category", "escalated", "customer", "created", "version", "message")
DECISION_COLUMNS = ("decided", "about", "outcome", "confidence", "by", "reason")
SHOWN_MESSAGE = 60


async def list_(query: ListRequests, output: Output) -> None:
    """A tenant's requests, newest first. Raises WrongUsage for a status that does not exist."""
    check_choice("status", query.status, RequestStatus)
    async with open_mesh() as mesh:
        found = await list_requests(mesh.database, query)
    empty = f"No request of tenant {query.tenant_id} matches."
    print_views(found, COLUMNS, _cells, output, empty=empty, leave_out={"history", "decisions"})


async def show(tenant: str, request_id: str, history: bool, output: Output) -> None:
    """One request of a tenant with what was decided on it. Raises NotFound."""
    query = GetRequest(tenant_id=tenant, request_id=request_id, include_history=history)
    async with open_mesh() as mesh:
        found = existing(await get_request(mesh.database, query), "request", request_id, tenant)
    if output is Output.JSON:
        print_json(found.model_dump(mode="json", exclude=None if history else {"history"}))
        return
    facts = {name: value for name, value in found if name not in ("decisions", "history", "escalation_reasons")}
    reasons = ", ".join(found.escalation_reasons) or None
    print_facts(facts | {"priority": Priority(found.priority).name.lower(), "escalated": reasons or found.escalated})
    print()
    decided = [[each.decided_at, each.kind, each.outcome, each.confidence, each.decided_by, each.reason] for each in found.decisions or ()]
    print_table(DECISION_COLUMNS, decided, empty="Nothing was decided yet.")
    if found.history is not None:
        print()
        cells = [
            [entry.version, entry.position, entry.occurred_at, short_type(entry.event_type), f"{entry.auth_type} {entry.auth_id}",
             entry.causation_id, short_data(entry.data, ("tenant_id", "request_id"), 100)]
            for entry in found.history
        ]  # fmt: skip
        print_table(("version", "position", "time", "event", "by", "command", "data"), cells, empty="No event.")


async def timeline(tenant: str, request_id: str, output: Output) -> None:
    """What happened to one request of a tenant, waits and work apart. Raises NotFound."""
    query = GetTimeline(tenant_id=tenant, request_id=request_id)
    async with open_mesh() as mesh:
        found = existing(await request_timeline(mesh.database, query), "request", request_id, tenant)
        trace_url = mesh.settings.trace_url
    if output is Output.JSON:
        print_json(found.model_dump(mode="json") | {"trace_ids": found.trace_ids})
    else:
        console().print(timeline_tree(found, trace_url))


def _cells(view: RequestView) -> list[object]:
    message = view.message if len(view.message) <= SHOWN_MESSAGE else f"{view.message[: SHOWN_MESSAGE - 1]}…"
    priority = Priority(view.priority).name.lower()
    return [view.request_id, view.status, priority, view.category, view.escalated, view.customer_id, view.created_at, view.version, message]
