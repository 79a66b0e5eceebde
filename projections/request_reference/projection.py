"""The read model `request_reference`: events of customers and tenants in, the tiers and settings that decisions on requests read out; run
by the requests worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from contracts.customers.events import CustomerRegistered, CustomerTierChanged
from contracts.envelope import RecordedEvent
from contracts.money import Money
from contracts.tenants.events import TenantCreated, TenantSettingsChanged
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

CUSTOMERS, TENANTS = "customers", "tenants"


def customer_registered(recorded: RecordedEvent, event: CustomerRegistered) -> Sequence[RowChange]:
    """The customer is known from now on."""
    row = {"customer_id": event.customer_id, "tenant_id": event.tenant_id, "tier": event.tier.value, **_at(recorded)}
    return (Insert(CUSTOMERS, row),)


def tier_changed(recorded: RecordedEvent, event: CustomerTierChanged) -> Sequence[RowChange]:
    """The customer is in another tier."""
    return (Change(CUSTOMERS, {"customer_id": event.customer_id, "tier": event.tier.value, **_at(recorded)}),)


def tenant_created(recorded: RecordedEvent, event: TenantCreated) -> Sequence[RowChange]:
    """The tenant is known, with all its settings."""
    return (Insert(TENANTS, {"tenant_id": event.tenant_id, **_settings(event), **_at(recorded)}),)


def settings_changed(recorded: RecordedEvent, event: TenantSettingsChanged) -> Sequence[RowChange]:
    """Only what changed is in the event."""
    return (Change(TENANTS, {"tenant_id": event.tenant_id, **_settings(event), **_at(recorded)}),)


def _settings(event: TenantCreated | TenantSettingsChanged) -> dict[str, Any]:
    """The columns of the settings that the event gives."""
    threshold: Money | None = event.approval_threshold
    given: dict[str, Any] = {
        "threshold_amount": None if threshold is None else str(threshold.amount),
        "threshold_currency": None if threshold is None else threshold.currency,
        "approval_time_limit_hours": event.approval_time_limit_hours,
        "four_eyes": event.four_eyes,
        "approvers": None if event.approvers is None else to_json(event.approvers),
        "requests_per_minute": event.requests_per_minute,
    }
    return {column: value for column, value in given.items() if value is not None}


def _at(recorded: RecordedEvent) -> dict[str, int]:
    return {"version": recorded.sequence, "position": recorded.position}


REQUEST_REFERENCE = ReadModel(
    name="request_reference",
    version=1,
    contexts=("customers", "tenants"),
    package="projections.request_reference",
    tables=(
        Table(
            CUSTOMERS,
            key=("customer_id",),
            columns={"customer_id": "text", "tenant_id": "text", "tier": "text", "version": "bigint", "position": "bigint"},
        ),
        Table(
            TENANTS,
            key=("tenant_id",),
            columns={
                "tenant_id": "text",
                "threshold_amount": "text",
                "threshold_currency": "text",
                "approval_time_limit_hours": "integer",
                "four_eyes": "boolean",
                "approvers": "json",
                "requests_per_minute": "integer",
                "version": "bigint",
                "position": "bigint",
            },
        ),
    ),
    project={
        CustomerRegistered: customer_registered,
        CustomerTierChanged: tier_changed,
        TenantCreated: tenant_created,
        TenantSettingsChanged: settings_changed,
    },
    # A tier or a setting that was read and written into an event must not be unknown again after a crash of Postgres.
    durable=True,
)
