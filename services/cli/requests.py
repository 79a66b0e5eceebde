"""Requests from their read model; the work behind `requests list` and `show`."""

from __future__ import annotations

from contracts.requests.values import Priority, RequestStatus
from projections.requests.queries import GetRequest, ListRequests, RequestView, get_request, list_requests
from services.cli.errors import NotFound, WrongUsage
from services.cli.event_log import short_data, short_type
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json, print_table

COLUMNS = ("request", "status", "priority", "category", "customer", "created", "version", "message")
SHOWN_MESSAGE = 60


async def list_(tenant: str, status: str | None, customer: str | None, limit: int, output: Output) -> None:
    """A tenant's requests, newest first. Raises WrongUsage for a status that does not exist."""
    if status is not None and status not in set(RequestStatus):
        raise WrongUsage(f"There is no status {status!r}. Choose of: {', '.join(RequestStatus)}.")
    async with open_mesh() as mesh:
        query = ListRequests(tenant_id=tenant, status=status, customer_id=customer, limit=limit)
        found = await list_requests(mesh.database, query)
    if output is Output.JSON:
        print_json([view.model_dump(mode="json", exclude={"history"}) for view in found])
    else:
        print_table(COLUMNS, [_cells(view) for view in found], empty=f"No request of tenant {tenant} matches.")


async def show(tenant: str, request_id: str, history: bool, output: Output) -> None:
    """One request of a tenant. Raises NotFound."""
    async with open_mesh() as mesh:
        found = await get_request(mesh.database, GetRequest(tenant_id=tenant, request_id=request_id, include_history=history))
    if found is None:
        raise NotFound(f"Tenant {tenant} has no request {request_id!r}. Another tenant: --tenant NAME.")
    if output is Output.JSON:
        print_json(found.model_dump(mode="json", exclude=None if history else {"history"}))
        return
    print_facts(found.model_dump(exclude={"history"}) | {"priority": Priority(found.priority).name.lower()})
    if found.history is not None:
        print()
        cells = [
            [entry.version, entry.position, entry.occurred_at, short_type(entry.event_type), f"{entry.auth_type} {entry.auth_id}",
             entry.causation_id, short_data(entry.data, ("tenant_id", "request_id"), 100)]
            for entry in found.history
        ]  # fmt: skip
        print_table(("version", "position", "time", "event", "by", "command", "data"), cells, empty="No event.")


def _cells(view: RequestView) -> list[object]:
    message = view.message if len(view.message) <= SHOWN_MESSAGE else f"{view.message[: SHOWN_MESSAGE - 1]}…"
    priority = Priority(view.priority).name.lower()
    return [view.request_id, view.status, priority, view.category, view.customer_id, view.created_at, view.version, message]
