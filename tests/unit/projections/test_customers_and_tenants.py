"""Events of customers and tenants make their rows: the tier and contact that count now, every setting that counts now."""

import json
from typing import Any

from contracts.customers.events import EVENTS as CUSTOMER_EVENTS
from contracts.customers.events import CustomerContactChanged
from contracts.message import Event
from contracts.tenants.events import EVENTS as TENANT_EVENTS
from projections.customers.projection import CUSTOMERS
from projections.tenants.projection import TENANTS
from tests.mixed_log import mixed_log
from tests.unit.projections.recording import recorded, row_after, row_of_one_batch

REGISTERED, TIER_CHANGED, CONTACT_CHANGED = (event.event() for event in mixed_log(0)["customers"][:3])
CREATED, SETTINGS_CHANGED = (event.event() for event in mixed_log(0)["tenants"][:2])


def customer(*events: Event) -> dict[str, Any]:
    return row_after(CUSTOMERS, recorded([REGISTERED, *events]))


def tenant(*events: Event) -> dict[str, Any]:
    return row_after(TENANTS, recorded([CREATED, *events]))


def test_a_registered_customer_is_a_row_with_tier_and_contact() -> None:
    found = customer()
    assert (found["tier"], found["name"], found["email"], found["phone"]) == ("premium", "Ada", "ada@example.org", "+44 20 7946 0958")
    assert (found["registered_at"], found["version"]) == (found["updated_at"], 1)
    nameless = REGISTERED.model_copy(update={"name": None, "contact": None})
    row = row_after(CUSTOMERS, recorded([nameless]))
    assert (row["name"], row["email"], row["phone"]) == (None, None, None)


def test_the_last_tier_and_the_last_contact_count() -> None:
    assert (customer(TIER_CHANGED)["tier"], customer(TIER_CHANGED)["email"]) == ("enterprise", "ada@example.org")
    moved = customer(TIER_CHANGED, CONTACT_CHANGED)
    assert (moved["tier"], moved["email"], moved["phone"], moved["version"]) == ("enterprise", "ada.byron@example.org", None, 3)
    assert isinstance(CONTACT_CHANGED, CustomerContactChanged)
    assert row_of_one_batch(CUSTOMERS, recorded([REGISTERED, TIER_CHANGED, CONTACT_CHANGED])) == moved


def test_a_created_tenant_is_a_row_with_every_setting() -> None:
    found = tenant()
    assert (found["approval_time_limit_hours"], found["four_eyes"], found["requests_per_minute"]) == (72, False, 100)
    assert json.loads(found["approval_threshold"]) == {"amount": "1000.00", "currency": "USD"}
    assert json.loads(found["approvers"]) == ["ada"]


def test_changed_settings_change_nothing_else() -> None:
    found = tenant(SETTINGS_CHANGED)
    assert (found["approval_time_limit_hours"], found["four_eyes"], found["requests_per_minute"], found["version"]) == (72, True, 100, 2)
    assert json.loads(found["approval_threshold"]) == {"amount": "250.00", "currency": "EUR"}
    assert json.loads(found["approvers"]) == ["ada", "grace"]
    assert row_of_one_batch(TENANTS, recorded([CREATED, SETTINGS_CHANGED])) == found
    nobody = SETTINGS_CHANGED.model_copy(update={"approvers": ()})
    assert json.loads(tenant(nobody)["approvers"]) == []


def test_every_event_has_its_function() -> None:
    assert (set(CUSTOMERS.project), set(TENANTS.project)) == (set(CUSTOMER_EVENTS), set(TENANT_EVENTS))
