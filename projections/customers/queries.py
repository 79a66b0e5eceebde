"""Questions about customers and their answers, from the read model; all that CLI and gateway may import of it. Every query that answers
customers is of one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.postgres.base import QueryPort
from projections.listing import After, Listing, Slice

COLUMNS = "customer_id, tenant_id, tier, name, email, phone, registered_at, updated_at, version, position"
LISTING = Listing("read_customers.customers", COLUMNS, id="customer_id", time="registered_at")


class GetCustomer(BaseModel):
    """One customer of a tenant."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    customer_id: str


class ListCustomers(BaseModel):
    """Customers of a tenant, newest first unless told otherwise; what is None does not filter. `after` ends the page before."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    tier: str | None = None
    customer_id: str | None = None
    oldest_first: bool = False
    limit: int = 100
    after: After | None = None


class CustomerView(BaseModel):
    """A customer as the read model shows it; `version` is that of the stream it reflects."""

    model_config = ConfigDict(frozen=True)

    customer_id: str
    tenant_id: str
    tier: str
    name: str | None
    email: str | None
    phone: str | None
    registered_at: datetime
    updated_at: datetime
    version: int
    position: int


async def get_customer(port: QueryPort, query: GetCustomer) -> CustomerView | None:
    """The customer, or None when this tenant has registered none with that id."""
    row = await LISTING.find(port, query.tenant_id, query.customer_id)
    return None if row is None else _view(row)


async def list_customers(port: QueryPort, query: ListCustomers) -> list[CustomerView]:
    """A page of customers."""
    wanted = {"tier": query.tier, "customer_id": query.customer_id}
    return [_view(row) for row in await LISTING.page(port, query.tenant_id, Slice(query.limit, query.after, query.oldest_first), **wanted)]


async def customer_version(port: QueryPort, customer_id: str) -> int:
    """The stream version that the read model shows of a customer; 0 when it has no row yet."""
    return await LISTING.version(port, customer_id)


async def customer_versions(port: QueryPort, customer_ids: Sequence[str]) -> dict[str, int]:
    """The stream versions that the read model shows of these customers; what it has no row of is absent."""
    return await LISTING.versions(port, customer_ids)


def _view(row: Any) -> CustomerView:
    return CustomerView(**dict(zip(CustomerView.model_fields, row, strict=True)))
