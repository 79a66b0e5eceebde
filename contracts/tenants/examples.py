"""One example of every message of the tenants context, in its JSON form; published with the schemas and checked by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.message import Message
from contracts.tenants.commands import ChangeTenantSettings, CreateTenant
from contracts.tenants.events import TenantCreated, TenantSettingsChanged

_TENANT = {"tenant_id": "acme"}
_SETTINGS = {
    "approval_threshold": {"amount": "1000.00", "currency": "USD"},
    "approval_time_limit_hours": 72,
    "four_eyes": False,
    "approvers": ["ada", "grace"],
    "requests_per_minute": 100,
}
_CHANGES = {"approval_threshold": {"amount": "250.00", "currency": "EUR"}, "four_eyes": True}

EXAMPLES: Mapping[type[Message], Mapping[str, Any]] = {
    CreateTenant: {**_TENANT, "name": "Acme Corporation", "settings": _SETTINGS},
    ChangeTenantSettings: {**_TENANT, **_CHANGES},
    TenantCreated: {**_TENANT, "name": "Acme Corporation", **_SETTINGS, "created_at": "2026-05-04T09:30:00Z"},
    TenantSettingsChanged: {**_TENANT, **_CHANGES, "changed_at": "2026-05-04T09:31:00Z"},
}
