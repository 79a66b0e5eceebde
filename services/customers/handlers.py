"""The decisions of the customers context: state, command and context in, events or a refusal out; pure, run by the command worker."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.customers.commands import ChangeContactInfo, ChangeCustomerTier, CustomerCommand, RegisterCustomer
from contracts.customers.events import CustomerContactChanged, CustomerEvent, CustomerRegistered, CustomerTierChanged
from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.message import Command
from infra.runtime.base import Decide, DecisionContext
from services.customers.domain import Customer

Events = tuple[CustomerEvent, ...]

CUSTOMER_MUST_NOT_EXIST = "customer_must_not_exist"


def register_customer(customer: Customer | None, command: RegisterCustomer, context: DecisionContext) -> Events:
    """Make the customer known. An id is used once, by whichever tenant; the same registration again changes nothing."""
    if customer is not None:
        if _is_as_registered(customer, command):
            return ()
        raise BusinessRuleViolation("A customer with this id exists already.", rule=CUSTOMER_MUST_NOT_EXIST)
    registered = CustomerRegistered(
        tenant_id=command.tenant_id,
        customer_id=command.customer_id,
        tier=command.tier,
        name=command.name,
        contact=command.contact,
        registered_at=context.now,
    )
    return (registered,)


def change_customer_tier(customer: Customer | None, command: ChangeCustomerTier, context: DecisionContext) -> Events:
    """Move the customer to the tier, unless it is there already."""
    found = _of_tenant(customer, command)
    if found.tier is command.tier:
        return ()
    changed = CustomerTierChanged(tenant_id=found.tenant_id, customer_id=found.customer_id, tier=command.tier, changed_at=context.now)
    return (changed,)


def change_contact_info(customer: Customer | None, command: ChangeContactInfo, context: DecisionContext) -> Events:
    """Replace how the customer is reached, unless it is the same."""
    found = _of_tenant(customer, command)
    if found.contact == command.contact:
        return ()
    changed = CustomerContactChanged(
        tenant_id=found.tenant_id, customer_id=found.customer_id, contact=command.contact, changed_at=context.now
    )
    return (changed,)


def _of_tenant(customer: Customer | None, command: CustomerCommand) -> Customer:
    """The customer, if it is there and the tenant's own; to other tenants it does not exist."""
    if customer is None or customer.tenant_id != command.tenant_id:
        raise ResourceNotFound("Customer", command.customer_id)
    return customer


def _is_as_registered(customer: Customer, command: RegisterCustomer) -> bool:
    now = (customer.tenant_id, customer.tier, customer.name, customer.contact)
    return now == (command.tenant_id, command.tier, command.name, command.contact)


DECISIONS: Mapping[type[Command], Decide] = {
    RegisterCustomer: register_customer,
    ChangeCustomerTier: change_customer_tier,
    ChangeContactInfo: change_contact_info,
}
