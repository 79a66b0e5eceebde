"""The events of the customers context: facts, stored and published in the same class; no event of this context is private."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime

from contracts.customers.values import ContactInfo, CustomerTier
from contracts.ids import CustomerId
from contracts.message import Event


class CustomerEvent(Event):
    """What every event about a customer has."""

    context: ClassVar[str] = "customers"
    aggregate_field: ClassVar[str] = "customer_id"

    customer_id: CustomerId


class CustomerRegistered(CustomerEvent):
    """A customer is known. Holds all that its first state is made of."""

    type_name: ClassVar[str] = "agentmesh.customers.CustomerRegistered.v1"

    tier: CustomerTier
    name: str | None = None
    contact: ContactInfo | None = None
    registered_at: AwareDatetime


class CustomerTierChanged(CustomerEvent):
    """The customer is in another tier now."""

    type_name: ClassVar[str] = "agentmesh.customers.CustomerTierChanged.v1"

    tier: CustomerTier
    changed_at: AwareDatetime


class CustomerContactChanged(CustomerEvent):
    """How the customer is reached was replaced as a whole."""

    type_name: ClassVar[str] = "agentmesh.customers.CustomerContactChanged.v1"

    contact: ContactInfo
    changed_at: AwareDatetime


EVENTS: tuple[type[CustomerEvent], ...] = (CustomerRegistered, CustomerTierChanged, CustomerContactChanged)
