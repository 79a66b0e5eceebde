"""Customers from their read model, and orders about them; the work behind `customers`."""

from __future__ import annotations

from contracts.customers.commands import ChangeCustomerTier, RegisterCustomer
from contracts.customers.values import CustomerTier
from projections.customers.queries import CustomerView, GetCustomer, ListCustomers, get_customer, list_customers
from services.cli import publish
from services.cli.errors import WrongUsage
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json
from services.cli.views import check_choice, existing, print_views

COLUMNS = ("customer", "tier", "name", "email", "phone", "registered", "version")


async def list_(query: ListCustomers, output: Output) -> None:
    """A tenant's customers, newest first. Raises WrongUsage for a tier that does not exist."""
    check_choice("tier", query.tier, CustomerTier)
    async with open_mesh() as mesh:
        found = await list_customers(mesh.database, query)
    print_views(found, COLUMNS, _cells, output, empty=f"No customer of tenant {query.tenant_id} matches.")


async def show(tenant: str, customer_id: str, output: Output) -> None:
    """One customer of a tenant. Raises NotFound."""
    async with open_mesh() as mesh:
        found = await get_customer(mesh.database, GetCustomer(tenant_id=tenant, customer_id=customer_id))
        found = existing(found, "registered customer", customer_id, tenant)
    if output is Output.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        print_facts(dict(found))


async def register(
    customer_id: str | None,
    *,
    tier: str,
    name: str | None,
    email: str | None,
    phone: str | None,
    actor: str | None,
    tenant: str,
    timeout: float,
    output: Output,
) -> int:
    """Make a customer known and answer the exit code. Raises WrongUsage for a phone number without an address."""
    if phone is not None and email is None:
        raise WrongUsage("--phone needs --email: a customer is reached by mail, by telephone besides.")
    contact = None if email is None else {"email": email, "phone": phone}
    payload = {"customer_id": customer_id, "tier": tier, "name": name, "contact": contact}
    return await publish.order(RegisterCustomer, payload, tenant=tenant, timeout=timeout, output=output, actor=actor)


async def change_tier(customer_id: str, tier: str, *, actor: str | None, tenant: str, timeout: float, output: Output) -> int:
    """Move a customer to a tier and answer the exit code."""
    payload = {"customer_id": customer_id, "tier": tier}
    return await publish.order(ChangeCustomerTier, payload, tenant=tenant, timeout=timeout, output=output, actor=actor)


def _cells(view: CustomerView) -> list[object]:
    return [view.customer_id, view.tier, view.name, view.email, view.phone, view.registered_at, view.version]
