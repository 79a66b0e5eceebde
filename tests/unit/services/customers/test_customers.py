"""Given the events of a customer, when a command comes, then these events follow or this rule refuses it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.customers.commands import COMMANDS, ChangeContactInfo, ChangeCustomerTier, RegisterCustomer
from contracts.customers.events import EVENTS, CustomerContactChanged, CustomerEvent, CustomerRegistered, CustomerTierChanged
from contracts.customers.values import ContactInfo, CustomerTier, Email
from contracts.errors import BusinessRuleViolation, DomainError, ResourceNotFound
from contracts.message import Command
from infra.runtime.base import DecisionContext
from infra.settings import load_settings
from infra.telemetry.telemetry import Telemetry
from services.customers.domain import Customer, UnexpectedEvent, evolve
from services.customers.handlers import DECISIONS
from services.customers.settings import CustomersSettings
from services.customers.worker import build

NOWHERE = {"postgres_dsn": "postgresql://localhost:1/none", "redis_url": "redis://localhost:1", "kafka_bootstrap": "localhost:1"}
NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CONTEXT = DecisionContext(NOW, NOW, "test-tenant", "user", "u-1", "c-1")
CUSTOMER: dict[str, Any] = {"tenant_id": "test-tenant", "customer_id": "cust-0042"}
ADA = ContactInfo(Email("ada@acme.org"), "+44 20 7946 0958")

REGISTER = RegisterCustomer(**CUSTOMER, tier=CustomerTier.PREMIUM, name="Ada Byron", contact=ADA)
CHANGE_TIER = ChangeCustomerTier(**CUSTOMER, tier=CustomerTier.ENTERPRISE)
CHANGE_CONTACT = ChangeContactInfo(**CUSTOMER, contact=ContactInfo(Email("ada.byron@acme.org")))


def decide(customer: Customer | None, command: Command) -> tuple[CustomerEvent, ...]:
    return DECISIONS[type(command)](customer, command, CONTEXT)  # type: ignore[return-value]


def given(*commands: Command) -> Customer:
    """The state after commands that must succeed; each event is stored and read again."""
    customer: Customer | None = None
    for command in commands:
        for event in decide(customer, command):
            assert event.tenant_id == command.tenant_id
            assert event.aggregate_id == command.aggregate_id
            customer = evolve(customer, type(event).from_json(event.to_json()))
    assert customer is not None
    return customer


def refused(customer: Customer | None, command: Command) -> DomainError:
    with pytest.raises(DomainError) as caught:
        decide(customer, command)
    return caught.value


def test_every_command_of_the_context_has_its_decision() -> None:
    assert set(DECISIONS) == set(COMMANDS)


# --- register ---------------------------------------------------------------------------------------------------------


def test_registering_raises_exactly_one_event_that_holds_the_whole_first_state() -> None:
    assert decide(None, REGISTER) == (
        CustomerRegistered(**CUSTOMER, tier=CustomerTier.PREMIUM, name="Ada Byron", contact=ADA, registered_at=NOW),
    )
    assert given(REGISTER) == Customer(**CUSTOMER, tier=CustomerTier.PREMIUM, name="Ada Byron", contact=ADA, registered_at=NOW)


def test_a_customer_of_whom_nothing_is_said_is_standard() -> None:
    customer = given(RegisterCustomer(**CUSTOMER))
    assert (customer.tier, customer.name, customer.contact) == (CustomerTier.STANDARD, None, None)


def test_the_same_registration_again_changes_nothing() -> None:
    assert decide(given(REGISTER), REGISTER) == ()
    assert decide(given(RegisterCustomer(**CUSTOMER)), RegisterCustomer(**CUSTOMER)) == ()


@pytest.mark.parametrize("other", [{"tier": CustomerTier.FREE}, {"name": "Ada"}, {"contact": None}, {"tenant_id": "other-tenant"}])
def test_an_id_is_used_once_by_whichever_tenant(other: dict[str, Any]) -> None:
    error = refused(given(REGISTER), REGISTER.model_copy(update=other))
    assert isinstance(error, BusinessRuleViolation)
    assert (error.code, error.rule) == ("BUSINESS_RULE_VIOLATION", "customer_must_not_exist")


def test_a_registration_does_not_undo_later_changes() -> None:
    assert isinstance(refused(given(REGISTER, CHANGE_TIER), REGISTER), BusinessRuleViolation)


# --- change -----------------------------------------------------------------------------------------------------------


def test_the_tier_changes_and_nothing_else() -> None:
    before = given(REGISTER)
    assert decide(before, CHANGE_TIER) == (CustomerTierChanged(**CUSTOMER, tier=CustomerTier.ENTERPRISE, changed_at=NOW),)
    assert given(REGISTER, CHANGE_TIER) == before.model_copy(update={"tier": CustomerTier.ENTERPRISE})


def test_the_contact_is_replaced_as_a_whole() -> None:
    before = given(REGISTER)
    assert decide(before, CHANGE_CONTACT) == (CustomerContactChanged(**CUSTOMER, contact=CHANGE_CONTACT.contact, changed_at=NOW),)
    after = given(REGISTER, CHANGE_CONTACT)
    assert after == before.model_copy(update={"contact": ContactInfo(Email("ada.byron@acme.org"), None)})


@pytest.mark.parametrize("command", [CHANGE_TIER, CHANGE_CONTACT])
def test_a_repeated_change_changes_nothing(command: Command) -> None:
    assert decide(given(REGISTER, command), command) == ()


@pytest.mark.parametrize("command", [CHANGE_TIER, CHANGE_CONTACT])
def test_a_customer_that_does_not_exist_or_is_another_tenants_is_not_found(command: Command) -> None:
    error = refused(None, command)
    assert isinstance(error, ResourceNotFound)
    assert error.code == "RESOURCE_NOT_FOUND"
    assert error.details == {"resource_type": "Customer", "resource_id": "cust-0042"}
    strange = command.model_copy(update={"tenant_id": "other-tenant"})
    assert refused(given(REGISTER), strange).to_error() == error.to_error()


# --- the state itself -------------------------------------------------------------------------------------------------


def test_a_customer_is_a_value_hashed_by_its_id() -> None:
    customer = given(REGISTER)
    assert customer == given(REGISTER)
    assert hash(customer) == hash("cust-0042") == hash(given(REGISTER, CHANGE_TIER))
    assert customer != given(REGISTER, CHANGE_TIER)
    assert {customer, given(REGISTER)} == {customer}


@pytest.mark.parametrize("name", ["tier", "customer_id", "contact"])
def test_a_customer_cannot_be_changed_in_place(name: str) -> None:
    customer = given(REGISTER)
    with pytest.raises(ValueError, match="frozen"):
        setattr(customer, name, "x")
    with pytest.raises(ValueError, match="frozen"):
        delattr(customer, name)
    with pytest.raises(AttributeError):
        customer.contact.phone = None  # type: ignore[union-attr, misc]


def test_an_event_out_of_order_is_a_defect_and_no_refusal() -> None:
    (registered,) = decide(None, REGISTER)
    (changed,) = decide(given(REGISTER), CHANGE_TIER)
    with pytest.raises(UnexpectedEvent, match="first event"):
        evolve(None, changed)
    with pytest.raises(UnexpectedEvent, match="cannot follow"):
        evolve(given(REGISTER), registered)


def test_every_event_of_the_context_is_told_by_some_decision() -> None:
    told = [*decide(None, REGISTER), *decide(given(REGISTER), CHANGE_TIER), *decide(given(REGISTER), CHANGE_CONTACT)]
    assert {type(event) for event in told} == set(EVENTS)


# --- the worker -------------------------------------------------------------------------------------------------------


async def test_the_worker_is_named_after_its_context_and_reads_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_CUSTOMERS_CACHED_AGGREGATES", "7")
    assert CustomersSettings().cached_aggregates == 7
    worker = build(load_settings().with_endpoints(**NOWHERE), Telemetry.for_tests())
    assert worker.name == "customers"
    assert len(worker.required_topics()) == 1
