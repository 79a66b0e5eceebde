"""Money in messages: written as text and code, read from the same; an amount in metadata that nobody can read is no amount of zero."""

import json
from decimal import Decimal
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter

from contracts.errors import ValidationError, validation_details
from contracts.money import Money, financial_impact

JSON: TypeAdapter[Money] = TypeAdapter(Money)


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    price: Money
    limit: Money | None = Money("1000.00")


class Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    price: Money


@given(st.decimals(0, 10**18 - 1, places=28) | st.decimals(0, 1, places=5), st.sampled_from(["USD", "EUR", "GBP", "JPY"]))
def test_what_is_written_is_read_as_the_same(amount: Decimal, currency: str) -> None:
    money = Money(amount, currency)
    text = JSON.dump_json(money)
    assert JSON.validate_json(text, strict=True) == money
    assert "e" not in json.loads(text)["amount"].lower()


def refused(text: str, **options: Any) -> tuple[str, str]:
    with pytest.raises(pydantic.ValidationError) as caught:
        Strict.model_validate_json(f'{{"price": {text}}}', **options)
    (problem,) = validation_details(caught.value)["errors"]
    assert "s3cret" not in str(problem)
    return problem["field"], problem["rule"]


def test_money_is_written_as_text_and_code() -> None:
    order = Strict(price=Money("99.99"))
    assert order.model_dump_json() == '{"price":{"amount":"99.99","currency":"USD"},"limit":{"amount":"1000.00","currency":"USD"}}'
    assert Strict.model_validate(order.model_dump()) == order == Strict.model_validate_json(order.model_dump_json(), strict=True)
    assert Strict.model_validate_json('{"price": {"amount": "1e3"}, "limit": null}').model_dump() == {
        "price": {"amount": "1000", "currency": "USD"},
        "limit": None,
    }


@pytest.mark.parametrize("text", ['{"amount": 5}', '{"amount": "5.00"}', '{"amount": "5", "currency": "usd"}'])
def test_whole_numbers_and_text_are_read_in_strict_mode(text: str) -> None:
    assert Strict.model_validate_json(f'{{"price": {text}}}', strict=True).price == Money(5)


def test_a_binary_float_is_refused_in_strict_mode_and_read_by_its_shortest_text_elsewhere() -> None:
    assert refused('{"amount": 0.1}', strict=True)[0] == "price.amount"
    assert "as text" in refused('{"amount": 1.0}', strict=True)[1]
    assert Strict.model_validate_json('{"price": {"amount": 0.1}}').price == Money("0.1")
    assert Strict.model_validate({"price": {"amount": 0.1}}).price == Money("0.1")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"amount": "s3cret"}', "price.amount"),
        ('{"amount": "-1"}', "price.amount"),
        ('{"amount": "NaN"}', "price.amount"),
        ('{"amount": true}', "price.amount"),
        ('{"amount": null}', "price.amount"),
        ('{"amount": "1e999999"}', "price.amount"),
        ('{"currency": "USD"}', "price.amount"),
        ('{"amount": "1", "currency": "s3cret"}', "price.currency"),
        ('{"amount": "1", "currency": null}', "price.currency"),
        ('{"amount": "1", "s3": 1}', "price.s3"),
        ('"5"', "price"),
        ("5", "price"),
        ("null", "price"),
    ],
)
def test_a_fault_is_reported_by_its_field_and_never_repeats_the_value(text: str, field: str, strict: bool) -> None:
    assert refused(text, strict=strict)[0] == field


def test_unknown_fields_are_treated_as_the_message_around_says() -> None:
    assert Lenient.model_validate_json('{"price": {"amount": "1", "later": true}}').price == Money(1)
    assert Strict.model_json_schema()["$defs"]["MoneyFields"]["additionalProperties"] is False
    assert "additionalProperties" not in Lenient.model_json_schema()["$defs"]["MoneyFields"]


def test_the_schema_describes_amount_and_currency_and_the_default() -> None:
    schema = Strict.model_json_schema()
    fields = schema["$defs"]["MoneyFields"]["properties"]
    assert [kind["type"] for kind in fields["amount"]["anyOf"]] == ["string", "integer"]
    assert fields["currency"] == {"type": "string", "pattern": "^[A-Za-z]{3}$", "default": "USD", "title": "Currency"}
    assert schema["properties"]["limit"]["default"] == {"amount": "1000.00", "currency": "USD"}


# --- financial impact (REQ-35) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "impact"),
    [
        ({"amount": "99.99", "order_id": "A-1"}, Money("99.99")),
        ({"amount": "1500", "currency": "eur"}, Money(1500, "EUR")),
        ({"amount": "1500", "currency": None}, Money(1500)),
        ({"amount": 1500}, Money(1500)),
        ({"amount": 99.99}, Money("99.99")),
        ({"amount": "0.00"}, Money(0)),
        ({}, None),
        ({"currency": "EUR", "order_id": "A-1"}, None),
        ({"amount": None}, None),
    ],
)
def test_the_financial_impact_is_read_from_the_metadata(metadata: dict[str, Any], impact: Money | None) -> None:
    assert financial_impact(metadata) == impact


@pytest.mark.parametrize("amount", ["", "s3cret", "1,50", "99.99 USD", "-1", "NaN", "Infinity", True, False, [], {"value": "1"}, "1e99"])
def test_an_unreadable_amount_is_an_error_and_never_zero(amount: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        financial_impact({"amount": amount})
    error = caught.value
    assert (error.code, error.field, error.details["field"]) == ("VALIDATION_ERROR", "metadata.amount", "metadata.amount")
    assert error.details["rule"]
    assert "s3cret" not in str(error.to_error())


@pytest.mark.parametrize("currency", ["", "EURO", 840, True])
def test_an_unreadable_currency_is_an_error_of_its_own_field(currency: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        financial_impact({"amount": "1", "currency": currency})
    assert caught.value.field == "metadata.currency"
