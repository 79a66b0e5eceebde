"""Events of `customers` in, rows of the table `customers` out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from contracts.customers.events import CustomerContactChanged, CustomerEvent, CustomerRegistered, CustomerTierChanged
from contracts.customers.values import ContactInfo
from contracts.envelope import RecordedEvent
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

TABLE = "customers"


def customer_registered(recorded: RecordedEvent, event: CustomerRegistered) -> Sequence[RowChange]:
    """The customer's row, as it was registered."""
    return (
        Insert(
            TABLE,
            {
                "customer_id": event.customer_id,
                "tenant_id": event.tenant_id,
                "tier": event.tier.value,
                "name": event.name,
                **_contact(event.contact),
                "registered_at": event.registered_at,
                "updated_at": event.registered_at,
                "version": recorded.sequence,
                "position": recorded.position,
            },
        ),
    )


def customer_tier_changed(recorded: RecordedEvent, event: CustomerTierChanged) -> Sequence[RowChange]:
    """The tier that counts from now on."""
    return (_change(recorded, event, event.changed_at, tier=event.tier.value),)


def customer_contact_changed(recorded: RecordedEvent, event: CustomerContactChanged) -> Sequence[RowChange]:
    """Contact as a whole: a phone number that is not given is gone."""
    return (_change(recorded, event, event.changed_at, **_contact(event.contact)),)


def _contact(contact: ContactInfo | None) -> Mapping[str, str | None]:
    return {"email": None, "phone": None} if contact is None else {"email": str(contact.email), "phone": contact.phone}


def _change(recorded: RecordedEvent, event: CustomerEvent, at: datetime, **values: str | None) -> Change:
    fixed = {"customer_id": event.customer_id, "updated_at": at, "version": recorded.sequence, "position": recorded.position}
    return Change(TABLE, {**fixed, **values})


CUSTOMERS = ReadModel(
    name="customers",
    version=1,
    contexts=("customers",),
    package="projections.customers",
    tables=(
        Table(
            TABLE,
            key=("customer_id",),
            columns={
                "customer_id": "text",
                "tenant_id": "text",
                "tier": "text",
                "name": "text",
                "email": "text",
                "phone": "text",
                "registered_at": "timestamptz",
                "updated_at": "timestamptz",
                "version": "bigint",
                "position": "bigint",
            },
        ),
    ),
    project={
        CustomerRegistered: customer_registered,
        CustomerTierChanged: customer_tier_changed,
        CustomerContactChanged: customer_contact_changed,
    },
)
