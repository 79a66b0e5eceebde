"""What is known of customers and tenants, many pairs in one query; asked by the requests worker for each batch that needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contracts.customers.values import CustomerTier
from contracts.money import Money
from contracts.tenants.values import TenantSettings
from infra.postgres.base import QueryPort

KNOWN = b"""
SELECT k.tenant_id, k.customer_id, c.tier, t.tenant_id IS NOT NULL, t.threshold_amount, t.threshold_currency,
       t.approval_time_limit_hours, t.four_eyes, t.approvers, t.requests_per_minute
FROM unnest(%(tenants)s::text[], %(customers)s::text[]) AS k (tenant_id, customer_id)
LEFT JOIN read_request_reference.customers c ON c.customer_id = k.customer_id AND c.tenant_id = k.tenant_id
LEFT JOIN read_request_reference.tenants t ON t.tenant_id = k.tenant_id
"""


class CustomerOfTenant(NamedTuple):
    """What is asked for. A customer of another tenant is not known to this one."""

    tenant_id: str
    customer_id: str


class Known(NamedTuple):
    """What is known of both; None: nothing."""

    tier: CustomerTier | None
    settings: TenantSettings | None


async def known(database: QueryPort, asked: Sequence[CustomerOfTenant]) -> Mapping[CustomerOfTenant, Known]:
    """The tier and the settings of each pair."""
    parameters = {"tenants": [each.tenant_id for each in asked], "customers": [each.customer_id for each in asked]}
    found = {}
    for tenant_id, customer_id, tier, tenant_known, amount, currency, hours, four_eyes, approvers, per_minute in await database.fetch(
        KNOWN, parameters
    ):
        settings = None
        if tenant_known:
            # Checked when they were set; what a later release may not set any more still counts.
            settings = TenantSettings.model_construct(
                approval_threshold=Money(amount, currency),
                approval_time_limit_hours=hours,
                four_eyes=four_eyes,
                approvers=tuple(approvers),
                requests_per_minute=per_minute,
            )
        found[CustomerOfTenant(tenant_id, customer_id)] = Known(None if tier is None else CustomerTier(tier), settings)
    return found
