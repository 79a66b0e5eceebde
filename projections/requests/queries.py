"""Questions about requests and their answers, from the read model; all that CLI and gateway may import of it. Every query is
of one tenant."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.postgres.base import QueryPort

COLUMNS = """request_id, tenant_id, customer_id, thread_id, message, priority, category, status, confidence, resolution, metadata::text,
created_at, updated_at, completed_at, version, position"""


class GetRequest(BaseModel):
    """One request of a tenant, with its history when asked for."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    request_id: str
    include_history: bool = False


class ListRequests(BaseModel):
    """Requests of a tenant, newest first; what is None does not filter. `after` is the last row of the page before."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    status: str | None = None
    customer_id: str | None = None
    limit: int = 100
    after: tuple[datetime, str] | None = None


class HistoryEntry(BaseModel):
    """One event of a request's history."""

    model_config = ConfigDict(frozen=True)

    version: int
    position: int
    event_id: str
    event_type: str
    occurred_at: datetime
    auth_type: str
    auth_id: str
    correlation_id: str
    causation_id: str
    data: dict[str, Any]


class RequestView(BaseModel):
    """A request as the read model shows it; `version` is that of the stream it reflects."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    tenant_id: str
    customer_id: str
    thread_id: str
    message: str
    priority: int
    category: str | None
    status: str
    confidence: float | None
    resolution: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    version: int
    position: int
    history: tuple[HistoryEntry, ...] | None = None


async def get_request(port: QueryPort, query: GetRequest) -> RequestView | None:
    """The request, or None when this tenant has none with that id."""
    rows = await port.fetch(
        f"SELECT {COLUMNS} FROM read_requests.requests WHERE request_id = %(id)s AND tenant_id = %(tenant)s".encode(),  # nosec B608
        {"id": query.request_id, "tenant": query.tenant_id},
    )
    if not rows:
        return None
    history = await request_history(port, query.tenant_id, query.request_id) if query.include_history else None
    return _view(rows[0], history)


async def list_requests(port: QueryPort, query: ListRequests) -> list[RequestView]:
    """A page of requests."""
    filters = ["tenant_id = %(tenant)s"]
    parameters: dict[str, Any] = {"tenant": query.tenant_id, "limit": query.limit}
    if query.status is not None:
        filters.append("status = %(status)s")
        parameters["status"] = query.status
    if query.customer_id is not None:
        filters.append("customer_id = %(customer)s")
        parameters["customer"] = query.customer_id
    if query.after is not None:
        filters.append("(created_at, request_id) < (%(after_time)s, %(after_id)s)")
        parameters["after_time"], parameters["after_id"] = query.after
    rows = await port.fetch(
        f"SELECT {COLUMNS} FROM read_requests.requests WHERE {' AND '.join(filters)} "  # nosec B608 - fixed fragments
        "ORDER BY created_at DESC, request_id DESC LIMIT %(limit)s".encode(),
        parameters,
    )
    return [_view(row, None) for row in rows]


async def find_by_customer(port: QueryPort, tenant_id: str, customer_id: str, limit: int = 100) -> list[RequestView]:
    """A customer's requests, newest first."""
    return await list_requests(port, ListRequests(tenant_id=tenant_id, customer_id=customer_id, limit=limit))


async def request_history(port: QueryPort, tenant_id: str, request_id: str) -> tuple[HistoryEntry, ...]:
    """The events of a request, oldest first."""
    rows = await port.fetch(
        b"SELECT version, position, event_id, event_type, occurred_at, auth_type, auth_id, correlation_id, causation_id, data::text "
        b"FROM read_requests.request_history WHERE request_id = %(id)s AND tenant_id = %(tenant)s ORDER BY version",
        {"id": request_id, "tenant": tenant_id},
    )
    names = tuple(HistoryEntry.model_fields)
    return tuple(HistoryEntry(**{**dict(zip(names, row, strict=True)), "data": json.loads(row[-1])}) for row in rows)


async def request_version(port: QueryPort, request_id: str) -> int:
    """The stream version that the read model shows of a request; 0 when it has no row yet."""
    rows = await port.fetch(b"SELECT version FROM read_requests.requests WHERE request_id = %(id)s", {"id": request_id})
    return int(rows[0][0]) if rows else 0


def _view(row: Any, history: tuple[HistoryEntry, ...] | None) -> RequestView:
    names = [name for name in RequestView.model_fields if name != "history"]
    values = dict(zip(names, row, strict=True))
    values["metadata"] = json.loads(values["metadata"])
    return RequestView(**values, history=history)
