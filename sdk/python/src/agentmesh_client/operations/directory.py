"""Customers and tenants: arguments in, calls out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from agentmesh_client.calls import Accepted, Call, CommandOptions, ReadOptions, body_of, command, get, path_of, reader
from agentmesh_client.models import Customer, Money, Page, Tenant
from agentmesh_client.operations.requests import Sort

_CUSTOMER = reader(Customer)
_TENANT = reader(Tenant)


class TenantSettings(TypedDict, total=False):
    """What a tenant decides for itself; what is not given stays, or is the default."""

    approval_threshold: Money
    approval_time_limit_hours: int
    four_eyes: bool
    approvers: Sequence[str]
    requests_per_minute: int


def register_customer(
    *,
    customer_id: str | None = None,
    tier: str | None = None,
    name: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    **options: Unpack[CommandOptions],
) -> Call[Customer | Accepted[Customer]]:
    """Register a customer; without an id the gateway makes one. A phone number needs an e-mail address beside it."""
    contact = None if email is None and phone is None else _contact(email, phone)
    body = body_of(customer_id=customer_id, tier=tier, name=name, contact=contact)
    return command("POST", path_of("v1", "customers"), _CUSTOMER, options, body)


def list_customers(
    *,
    tier: str | None = None,
    sort: Sort | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    **options: Unpack[ReadOptions],
) -> Call[Page[Customer]]:
    """A page of customers."""
    return get(Page[Customer], path_of("v1", "customers"), options, tier=tier, sort=sort, limit=limit, cursor=cursor)


def get_customer(customer_id: str, **options: Unpack[ReadOptions]) -> Call[Customer]:
    """A customer."""
    return get(Customer, path_of("v1", "customers", customer_id), options)


def change_customer_tier(customer_id: str, tier: str, **options: Unpack[CommandOptions]) -> Call[Customer | Accepted[Customer]]:
    """Change what a customer is to the tenant."""
    return command("PUT", path_of("v1", "customers", customer_id, "tier"), _CUSTOMER, options, body_of(tier=tier))


def change_customer_contact(
    customer_id: str, email: str, *, phone: str | None = None, **options: Unpack[CommandOptions]
) -> Call[Customer | Accepted[Customer]]:
    """Change how a customer is reached."""
    body = body_of(contact=_contact(email, phone))
    return command("PUT", path_of("v1", "customers", customer_id, "contact"), _CUSTOMER, options, body)


def create_tenant(
    name: str, *, settings: TenantSettings | None = None, **options: Unpack[CommandOptions]
) -> Call[Tenant | Accepted[Tenant]]:
    """Create the caller's tenant."""
    return command("POST", path_of("v1", "tenants"), _TENANT, options, body_of(name=name, settings=settings))


def list_tenants(**options: Unpack[ReadOptions]) -> Call[Page[Tenant]]:
    """The tenants that the caller sees: its own."""
    return get(Page[Tenant], path_of("v1", "tenants"), options)


def get_tenant(tenant_id: str, **options: Unpack[ReadOptions]) -> Call[Tenant]:
    """A tenant."""
    return get(Tenant, path_of("v1", "tenants", tenant_id), options)


def change_tenant_settings(tenant_id: str, settings: TenantSettings, **options: Unpack[CommandOptions]) -> Call[Tenant | Accepted[Tenant]]:
    """Change the settings that are given."""
    return command("PATCH", path_of("v1", "tenants", tenant_id), _TENANT, options, body_of(**settings))


def _contact(email: str | None, phone: str | None) -> dict[str, Any]:
    return {name: value for name, value in (("email", email), ("phone", phone)) if value is not None}
