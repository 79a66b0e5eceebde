"""Events of customers and tenants make the rows that decisions on requests read: the tier of each customer, the settings of each tenant."""

from datetime import UTC, datetime
from typing import Any

from contracts.customers.events import CustomerRegistered, CustomerTierChanged
from contracts.customers.values import CustomerTier
from contracts.message import Event
from contracts.money import Money
from contracts.tenants.events import TenantCreated, TenantSettingsChanged
from projections.request_reference.projection import REQUEST_REFERENCE
from tests.unit.projections.recording import FIRST_POSITION, recorded, rows_after

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CUSTOMER: dict[str, Any] = {"tenant_id": "acme", "customer_id": "cust-0042"}
CREATED = TenantCreated(
    tenant_id="acme", name="Acme", approval_threshold=Money("1000.00"), approval_time_limit_hours=72, four_eyes=False,
    approvers=("ada",), requests_per_minute=100, created_at=NOW,
)  # fmt: skip


def rows(*events: Event) -> dict[tuple[Any, ...], dict[str, Any]]:
    return rows_after(REQUEST_REFERENCE, recorded(events))


def test_a_customer_has_the_tier_that_was_told_last() -> None:
    registered = CustomerRegistered(**CUSTOMER, tier=CustomerTier.PREMIUM, registered_at=NOW)
    changed = CustomerTierChanged(**CUSTOMER, tier=CustomerTier.ENTERPRISE, changed_at=NOW)
    assert rows(registered, changed) == {
        ("customers", "cust-0042"): {**CUSTOMER, "tier": "enterprise", "version": 2, "position": FIRST_POSITION + 2}
    }


def test_a_tenant_has_all_its_settings_and_a_change_touches_only_what_it_gives() -> None:
    whole = {
        "tenant_id": "acme",
        "threshold_amount": "1000.00",
        "threshold_currency": "USD",
        "approval_time_limit_hours": 72,
        "four_eyes": False,
        "approvers": b'["ada"]',
        "requests_per_minute": 100,
    }
    assert rows(CREATED) == {("tenants", "acme"): {**whole, "version": 1, "position": FIRST_POSITION + 1}}
    changes = {"approval_threshold": Money("250.5", "EUR"), "four_eyes": True, "approvers": ()}
    (changed,) = rows(CREATED, TenantSettingsChanged(tenant_id="acme", **changes, changed_at=NOW)).values()
    expected = {"threshold_amount": "250.5", "threshold_currency": "EUR", "four_eyes": True, "approvers": b"[]"}
    assert changed == {**whole, **expected, "version": 2, "position": FIRST_POSITION + 2}


def test_what_is_switched_off_is_a_change_too() -> None:
    on = CREATED.model_copy(update={"four_eyes": True})
    (changed,) = rows(on, TenantSettingsChanged(tenant_id="acme", four_eyes=False, changed_at=NOW)).values()
    assert changed["four_eyes"] is False
