"""Questions about tenants and their answers, from the read model; all that CLI and gateway may import of it. GetTenant is of one tenant;
ListTenants is for those who run the mesh."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.money import Money
from infra.postgres.base import QueryPort
from projections.listing import After, Listing, Slice

COLUMNS = """tenant_id, name, approval_threshold::text, approval_time_limit_hours, four_eyes, approvers::text, requests_per_minute,
created_at, updated_at, version, position"""
LISTING = Listing("read_tenants.tenants", COLUMNS, id="tenant_id", time="created_at")


class GetTenant(BaseModel):
    """One tenant."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str


class ListTenants(BaseModel):
    """Every tenant, newest first. `after` is the last row of the page before."""

    model_config = ConfigDict(frozen=True)

    limit: int = 100
    after: After | None = None


class TenantView(BaseModel):
    """A tenant as the read model shows it; `version` is that of the stream it reflects."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    name: str
    approval_threshold: Money
    approval_time_limit_hours: int
    four_eyes: bool
    approvers: tuple[str, ...]
    requests_per_minute: int
    created_at: datetime
    updated_at: datetime
    version: int
    position: int


async def get_tenant(port: QueryPort, query: GetTenant) -> TenantView | None:
    """The tenant, or None when nobody created it: it has the default settings then."""
    row = await LISTING.find(port, query.tenant_id, query.tenant_id)
    return None if row is None else _view(row)


async def list_tenants(port: QueryPort, query: ListTenants) -> list[TenantView]:
    """A page of tenants."""
    return [_view(row) for row in await LISTING.page(port, None, Slice(query.limit, query.after))]


async def tenant_version(port: QueryPort, tenant_id: str) -> int:
    """The stream version that the read model shows of a tenant; 0 when it has no row yet."""
    return await LISTING.version(port, tenant_id)


async def tenant_versions(port: QueryPort, tenant_ids: Sequence[str]) -> dict[str, int]:
    """The stream versions that the read model shows of these tenants; what it has no row of is absent."""
    return await LISTING.versions(port, tenant_ids)


def _view(row: Any) -> TenantView:
    values = dict(zip(TenantView.model_fields, row, strict=True))
    read = {column: json.loads(values[column]) for column in ("approval_threshold", "approvers")}
    return TenantView(**{**values, **read})
