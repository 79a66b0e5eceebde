"""The commands of the customers context: orders of staff and of the systems that know the customers."""

from __future__ import annotations

from typing import ClassVar

from contracts.customers.values import ContactInfo, CustomerName, CustomerTier
from contracts.message import Command
from contracts.requests.values import ValidCustomerId


class CustomerCommand(Command):
    """What every command about a customer has."""

    context: ClassVar[str] = "customers"
    aggregate_field: ClassVar[str] = "customer_id"

    customer_id: ValidCustomerId


class RegisterCustomer(CustomerCommand):
    """Make a customer known. Registering it again with the same fields changes nothing; with others it is refused."""

    type_name: ClassVar[str] = "agentmesh.customers.RegisterCustomer.v1"

    tier: CustomerTier = CustomerTier.STANDARD
    name: CustomerName | None = None
    contact: ContactInfo | None = None


class ChangeCustomerTier(CustomerCommand):
    """Move the customer to a tier."""

    type_name: ClassVar[str] = "agentmesh.customers.ChangeCustomerTier.v1"

    tier: CustomerTier


class ChangeContactInfo(CustomerCommand):
    """Replace how the customer is reached, as a whole: a phone number that is not given is not kept."""

    type_name: ClassVar[str] = "agentmesh.customers.ChangeContactInfo.v1"

    contact: ContactInfo


COMMANDS: tuple[type[CustomerCommand], ...] = (RegisterCustomer, ChangeCustomerTier, ChangeContactInfo)
