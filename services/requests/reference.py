"""What decisions on requests know of other contexts: the customer's tier and the tenant's settings; read by the runtime with the batch."""

from __future__ import annotations

from typing import NamedTuple

from contracts.customers.values import CustomerTier
from contracts.tenants.values import TenantSettings


class RequestReference(NamedTuple):
    """What is not known yet is the default: an unknown customer is `standard`, an unknown tenant has default settings."""

    customer_tier: CustomerTier = CustomerTier.STANDARD
    tenant_settings: TenantSettings = TenantSettings.model_validate({})
    tenant_known: bool = False
    """Whether the tenant was created; asked for only where the setting `tenants_must_exist` is on."""


NOTHING_KNOWN = RequestReference()
