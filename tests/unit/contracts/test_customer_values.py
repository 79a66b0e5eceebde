"""The values and commands of customers and tenants at their boundaries: e-mail addresses, ids, tiers, settings."""

import copy
import json
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.customers import commands as customers_commands
from contracts.customers import events as customers_events
from contracts.customers.commands import ChangeContactInfo, ChangeCustomerTier, RegisterCustomer
from contracts.customers.events import CustomerContactChanged, CustomerRegistered
from contracts.customers.examples import EXAMPLES as CUSTOMERS_EXAMPLES
from contracts.customers.values import ContactInfo, CustomerTier, Email, EmailErrorCode
from contracts.errors import validation_details
from contracts.message import Message
from contracts.money import Money
from contracts.result import Failure, Success
from contracts.tenants import commands as tenants_commands
from contracts.tenants import events as tenants_events
from contracts.tenants.commands import ChangeTenantSettings, CreateTenant
from contracts.tenants.events import TenantCreated
from contracts.tenants.examples import EXAMPLES as TENANTS_EXAMPLES
from contracts.tenants.values import TenantSettings

CUSTOMER: dict[str, Any] = {"tenant_id": "test-tenant", "customer_id": "cust-123"}
TENANT: dict[str, Any] = {"tenant_id": "test-tenant"}
ADA = Email("ada@acme.org")
MESSAGES = [*customers_commands.COMMANDS, *customers_events.EVENTS, *tenants_commands.COMMANDS, *tenants_events.EVENTS]
EXAMPLES = {**CUSTOMERS_EXAMPLES, **TENANTS_EXAMPLES}


def wire(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def refused_field(message_class: type[Message], fields: dict[str, Any]) -> str:
    with pytest.raises(pydantic.ValidationError) as caught:
        message_class.from_json(wire(fields))
    (problem,) = validation_details(caught.value)["errors"]
    return problem["field"]


def code_of(text: Any) -> str:
    result = Email.create(text)
    assert isinstance(result, Failure)
    assert result.error.message
    return result.error.code


# --- Email (REQ-46) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@acme.org", "ada@acme.org"),
        ("  Ada.Byron+Mail@ACME.Org\n", "ada.byron+mail@acme.org"),
        ("a_%-1@a-b.c.de", "a_%-1@a-b.c.de"),
        ("ada@sub.example.com", "ada@sub.example.com"),
        ("ada@myexample.com", "ada@myexample.com"),
        ("ada@example.org", "ada@example.org"),
        ("a@localhost.de", "a@localhost.de"),
    ],
)
def test_an_address_is_trimmed_and_in_lower_case(text: str, address: str) -> None:
    result = Email.create(text)
    assert result == Success(Email(address))
    assert str(result.unwrap()) == address


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", EmailErrorCode.EMPTY_EMAIL),
        (" \t\n", EmailErrorCode.EMPTY_EMAIL),
        ("a" * 255, EmailErrorCode.EMAIL_TOO_LONG),
        ("a" * 254, EmailErrorCode.INVALID_FORMAT),
        ("ada", EmailErrorCode.INVALID_FORMAT),
        ("ada@", EmailErrorCode.INVALID_FORMAT),
        ("@acme.org", EmailErrorCode.INVALID_FORMAT),
        ("ada@acme", EmailErrorCode.INVALID_FORMAT),
        ("ada@acme.o", EmailErrorCode.INVALID_FORMAT),
        ("ada@acme.o1", EmailErrorCode.INVALID_FORMAT),
        ("ada@@acme.org", EmailErrorCode.INVALID_FORMAT),
        ("ada byron@acme.org", EmailErrorCode.INVALID_FORMAT),
        ("ada@acme.org\nx", EmailErrorCode.INVALID_FORMAT),
        ("ädä@acme.org", EmailErrorCode.INVALID_FORMAT),
        ("ada@example.com", EmailErrorCode.INVALID_DOMAIN),
        ("ADA@Test.COM", EmailErrorCode.INVALID_DOMAIN),
        (None, EmailErrorCode.INVALID_FORMAT),
        (5, EmailErrorCode.INVALID_FORMAT),
        (b"ada@acme.org", EmailErrorCode.INVALID_FORMAT),
    ],
)
def test_the_first_broken_rule_is_the_code(text: Any, code: EmailErrorCode) -> None:
    assert code_of(text) == code


def test_a_local_address_has_no_dot_and_so_an_invalid_format() -> None:
    assert code_of("x@localhost") == "INVALID_FORMAT"


@pytest.mark.parametrize(("length", "taken"), [(253, True), (254, True), (255, False)])
def test_an_address_has_at_most_254_characters_after_trimming(length: int, taken: bool) -> None:
    text = "a" * (length - len("@acme.org")) + "@acme.org"
    assert len(text) == length
    assert Email.create(f"  {text}  ").is_success is taken
    assert taken or code_of(text) == "EMAIL_TOO_LONG"


@given(st.text() | st.from_regex(r"[A-Za-z. ]{1,5}@[a-zA-Z.]{1,9}"))
def test_creating_never_raises_and_what_it_makes_stays_as_it_is(text: str) -> None:
    result = Email.create(text)
    if isinstance(result, Success):
        assert Email.create(result.value.value) == result
        assert Email(result.value.value) == result.value


@pytest.mark.parametrize("text", ["Ada@acme.org", " ada@acme.org", "ada@test.com", "x@localhost", ""])
def test_nobody_makes_an_address_past_the_rules(text: str) -> None:
    with pytest.raises(ValueError, match="in its canonical form"):
        Email(text)


@pytest.mark.parametrize("value", [ADA, ContactInfo(ADA), Email.create("").error])  # type: ignore[union-attr]
@pytest.mark.parametrize("name", ["value", "email", "other"])
def test_values_are_hashable_and_cannot_be_changed(value: Any, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(value, name, "x")
    assert hash(value) == hash(copy.deepcopy(value))


# --- customers --------------------------------------------------------------------------------------------------------


def test_a_customer_is_standard_unless_told_otherwise() -> None:
    command = RegisterCustomer.from_json(wire(CUSTOMER))
    assert (command.tier, command.name, command.contact) == (CustomerTier.STANDARD, None, None)
    assert command.aggregate_id == "cust-123"
    assert [tier.value for tier in CustomerTier] == ["free", "standard", "premium", "enterprise"]


@pytest.mark.parametrize("customer_id", ["cust-123", "cust-" + "a" * 90])
def test_the_shortest_and_the_longest_customer_id_are_taken(customer_id: str) -> None:
    assert RegisterCustomer.from_json(wire({**CUSTOMER, "customer_id": customer_id})).customer_id == customer_id


@pytest.mark.parametrize("customer_id", ["", "cust-12", "cust-" + "a" * 91, "cust-1_3", "customer-1", "cust-123\n"])
@pytest.mark.parametrize("command_class", [RegisterCustomer, ChangeCustomerTier, ChangeContactInfo])
def test_other_customer_ids_are_refused(command_class: type[Message], customer_id: str) -> None:
    assert refused_field(command_class, {**EXAMPLES[command_class], "customer_id": customer_id}) == "customer_id"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tier": "vip"}, "tier"),
        ({"tier": None}, "tier"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"contact": {}}, "contact.email"),
        ({"contact": {"email": "x@localhost"}}, "contact.email"),
        ({"contact": {"email": 5}}, "contact.email"),
        ({"contact": {"email": None}}, "contact.email"),
        ({"contact": {"email": "ada@acme.org", "phone": "call me"}}, "contact.phone"),
        ({"contact": {"email": "ada@acme.org", "phone": "12"}}, "contact.phone"),
        ({"contact": {"email": "ada@acme.org", "phone": "1" * 41}}, "contact.phone"),
        ({"contact": {"email": "ada@acme.org", "fax": "1"}}, "contact.fax"),
        ({"contact": "ada@acme.org"}, "contact"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_a_registration_may_not_hold_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    assert refused_field(RegisterCustomer, {**CUSTOMER, **fields}) == field


@pytest.mark.parametrize("code", ["EMPTY_EMAIL", "EMAIL_TOO_LONG", "INVALID_FORMAT", "INVALID_DOMAIN"])
def test_a_refused_address_tells_its_code_and_is_not_repeated(code: str) -> None:
    texts = {"EMPTY_EMAIL": " ", "EMAIL_TOO_LONG": "s3cret" * 50, "INVALID_FORMAT": "s3cret", "INVALID_DOMAIN": "s3cret@test.com"}
    with pytest.raises(pydantic.ValidationError) as caught:
        ChangeContactInfo.from_json(wire({**CUSTOMER, "contact": {"email": texts[code]}}))
    (problem,) = validation_details(caught.value)["errors"]
    assert problem["rule"].endswith(f"({code})")
    assert "s3cret" not in str(problem)


@pytest.mark.parametrize("phone", [None, "110", "+44 20 7946 0958", "(030) 12-34/5.6", "1" * 40])
def test_a_contact_is_an_address_and_a_phone_as_people_write_it(phone: str | None) -> None:
    command = ChangeContactInfo.from_json(wire({**CUSTOMER, "contact": {"email": " ADA@acme.org ", "phone": phone}}))
    assert command.contact == ContactInfo(ADA, phone)
    assert command == ChangeContactInfo(**CUSTOMER, contact=ContactInfo(ADA, phone))
    assert command == ChangeContactInfo.model_validate({**CUSTOMER, "contact": {"email": ADA, "phone": phone}})


def test_the_schema_calls_the_address_an_email_and_refuses_unknown_fields() -> None:
    schema = ChangeContactInfo.model_json_schema()["$defs"]["ContactInfo"]
    assert schema["additionalProperties"] is False
    assert (schema["properties"]["email"]["type"], schema["properties"]["email"]["format"]) == ("string", "email")


def test_an_event_of_a_later_release_is_read_without_what_it_added() -> None:
    fields = {**EXAMPLES[CustomerContactChanged], "later": 1, "contact": {"email": "ada@acme.org", "later": 1}}
    assert CustomerContactChanged.from_json(wire(fields)).contact == ContactInfo(ADA)
    first = {**CUSTOMER, "tier": "free", "registered_at": "2026-05-04T09:30:00Z"}
    assert CustomerRegistered.from_json(wire(first)).contact is None
    threshold = {"amount": "5", "later": 1}
    assert TenantCreated.from_json(wire({**EXAMPLES[TenantCreated], "approval_threshold": threshold})).approval_threshold == Money(5)


# --- tenants ----------------------------------------------------------------------------------------------------------


def test_a_tenant_has_default_settings_for_what_is_not_given() -> None:
    command = CreateTenant.from_json(wire({**TENANT, "name": " Acme "}))
    assert command.aggregate_id == "test-tenant"
    assert command.name == "Acme"
    assert dict(command.settings) == {
        "approval_threshold": Money("1000.00", "USD"),
        "approval_time_limit_hours": 72,
        "four_eyes": False,
        "approvers": (),
        "requests_per_minute": 100,
    }
    some = CreateTenant.from_json(wire({**TENANT, "name": "Acme", "settings": {"four_eyes": True}}))
    assert some.settings == TenantSettings(four_eyes=True)


@pytest.mark.parametrize(
    ("setting", "taken", "refused"),
    [
        ("approval_time_limit_hours", [1, 8760], [0, 8761, 1.5, "72", True]),
        ("requests_per_minute", [1, 1_000_000], [0, 1_000_001, 1.5, "100", True]),
        ("four_eyes", [True, False], [0, 1, "true"]),
    ],
)
def test_settings_have_limits_and_exact_types(setting: str, taken: list[Any], refused: list[Any]) -> None:
    for value in taken:
        assert ChangeTenantSettings.from_json(wire({**TENANT, setting: value})).given() == {setting: value}
        assert getattr(TenantSettings.model_validate({setting: value}), setting) == value
    for value in refused:
        assert refused_field(ChangeTenantSettings, {**TENANT, setting: value}) == setting
        assert refused_field(CreateTenant, {**TENANT, "name": "x", "settings": {setting: value}}) == f"settings.{setting}"


@pytest.mark.parametrize(
    ("threshold", "field"),
    [({"amount": 0.1}, ".amount"), ({"amount": "-1"}, ".amount"), ({"amount": "1", "currency": "EURO"}, ".currency"), ("5", "")],
)
def test_a_threshold_is_money_and_no_binary_float(threshold: Any, field: str) -> None:
    assert refused_field(ChangeTenantSettings, {**TENANT, "approval_threshold": threshold}) == f"approval_threshold{field}"


def test_a_threshold_of_zero_is_a_threshold() -> None:
    command = ChangeTenantSettings.from_json(wire({**TENANT, "approval_threshold": {"amount": "0"}}))
    assert command.given() == {"approval_threshold": Money(0)}


@pytest.mark.parametrize("fields", [{}, {"four_eyes": None}])
def test_a_change_of_nothing_is_refused(fields: dict[str, Any]) -> None:
    assert refused_field(ChangeTenantSettings, {**TENANT, **fields}) == "approval_threshold"


def test_a_change_writes_only_what_it_changes() -> None:
    assert json.loads(ChangeTenantSettings(**TENANT, four_eyes=False).to_json()) == {**TENANT, "four_eyes": False}


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "x" * 201}, {"name": "a\nb"}, {"name": 5}])
def test_a_tenants_name_is_a_short_text(fields: dict[str, Any]) -> None:
    assert refused_field(CreateTenant, {**TENANT, **fields}) == "name"


def test_an_unknown_setting_is_refused_by_name() -> None:
    assert refused_field(CreateTenant, {**TENANT, "name": "x", "settings": {"for_eyes": True}}) == "settings.for_eyes"


# --- every message ----------------------------------------------------------------------------------------------------


def test_every_message_has_its_example() -> None:
    assert set(EXAMPLES) == set(MESSAGES)


@pytest.mark.parametrize("message_class", MESSAGES)
def test_the_example_of_a_message_is_read_and_written_the_same(message_class: type[Message]) -> None:
    message = message_class.from_json(wire(dict(EXAMPLES[message_class])))
    assert json.loads(message.to_json()) == EXAMPLES[message_class]
    assert message_class.from_json(message.to_json()) == message
    assert hash(message)
    context, name, version = message.type_name.split(".")[1:]
    assert (context, name, version) == (message.context, message_class.__name__, "v1")
    assert message.aggregate_id in ("cust-0042", "acme")
