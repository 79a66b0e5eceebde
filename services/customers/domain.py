"""The state of a customer and how it follows from its events: state and event in, next state out; pure, run by the worker."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.customers.events import CustomerContactChanged, CustomerEvent, CustomerRegistered, CustomerTierChanged
from contracts.customers.values import ContactInfo, CustomerTier
from contracts.ids import CustomerId, TenantId


class Customer(BaseModel):
    """A customer as its events made it. Frozen, a value: equal by all fields, hashed by its id, changed by nobody (TEN-08)."""

    model_config = ConfigDict(frozen=True)

    customer_id: CustomerId
    tenant_id: TenantId
    tier: CustomerTier
    name: str | None
    contact: ContactInfo | None
    registered_at: AwareDatetime

    def __hash__(self) -> int:
        return hash(self.customer_id)


class UnexpectedEvent(Exception):
    """The stream holds an event that cannot follow on this state: a defect, never a refusal."""


def evolve(customer: Customer | None, event: CustomerEvent) -> Customer:
    """The state after the event. Raises UnexpectedEvent for an event that this code does not know, or that comes out of order."""
    if customer is None:
        if isinstance(event, CustomerRegistered):
            return _registered(event)
        raise UnexpectedEvent(f"{type(event).__name__} is the first event of its stream")
    if isinstance(event, CustomerTierChanged):
        return customer.model_copy(update={"tier": event.tier})
    if isinstance(event, CustomerContactChanged):
        return customer.model_copy(update={"contact": event.contact})
    raise UnexpectedEvent(f"{type(event).__name__} cannot follow in the stream of a customer")


def _registered(event: CustomerRegistered) -> Customer:
    return Customer(
        customer_id=event.customer_id,
        tenant_id=event.tenant_id,
        tier=event.tier,
        name=event.name,
        contact=event.contact,
        registered_at=event.registered_at,
    )
