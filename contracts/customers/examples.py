"""One example of every message of the customers context, in its JSON form; published with the schemas and checked by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.customers.commands import ChangeContactInfo, ChangeCustomerTier, RegisterCustomer
from contracts.customers.events import CustomerContactChanged, CustomerRegistered, CustomerTierChanged
from contracts.message import Message

_CUSTOMER = {"tenant_id": "acme", "customer_id": "cust-0042"}
_REGISTERED = {"tier": "premium", "name": "Ada Byron", "contact": {"email": "ada@example.org", "phone": "+44 20 7946 0958"}}
_MOVED = {"contact": {"email": "ada.byron@example.org", "phone": None}}

EXAMPLES: Mapping[type[Message], Mapping[str, Any]] = {
    RegisterCustomer: {**_CUSTOMER, **_REGISTERED},
    ChangeCustomerTier: {**_CUSTOMER, "tier": "enterprise"},
    ChangeContactInfo: {**_CUSTOMER, **_MOVED},
    CustomerRegistered: {**_CUSTOMER, **_REGISTERED, "registered_at": "2026-05-04T09:30:00Z"},
    CustomerTierChanged: {**_CUSTOMER, "tier": "enterprise", "changed_at": "2026-05-04T09:31:00Z"},
    CustomerContactChanged: {**_CUSTOMER, **_MOVED, "changed_at": "2026-05-04T09:32:00Z"},
}
