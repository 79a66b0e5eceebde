"""Questions about customers and their answers, from the read model; all that CLI and gateway may import of it. Every query that answers
customers is of one tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.postgres.base import QueryPort
from projections.listing import After, Listing

COLUMNS = "customer_id, tenant_id, tier, name, email, phone, registered_at, updated_at, version, position"
LISTING = Listing("read_customers.customers", COLUMNS, id="customer_id", time="registered_at")


class GetCustomer(BaseModel):
    """One customer of a tenant."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    customer_id: str


class ListCustomers(BaseModel):
    """Customers of a tenant, newest first; what is None does not filter. `after` is the last row of the page before."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    tier: str | None = None
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
    return [_view(row) for row in await LISTING.page(port, query.tenant_id, query.limit, query.after, tier=query.tier)]


async def customer_version(port: QueryPort, customer_id: str) -> int:
    """The stream version that the read model shows of a customer; 0 when it has no row yet."""
    return await LISTING.version(port, customer_id)


def _view(row: Any) -> CustomerView:
    return CustomerView(**dict(zip(CustomerView.model_fields, row, strict=True)))
