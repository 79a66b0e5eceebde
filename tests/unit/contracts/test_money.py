"""Money is exact, never negative and never changed; its shares sum up to it."""

import copy
import pickle
from decimal import Decimal, getcontext, localcontext
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import Money

CURRENCIES = st.sampled_from(["USD", "EUR", "GBP", "JPY"])
AMOUNTS = st.decimals(0, 1_000_000, places=2)
FINE_AMOUNTS = st.decimals(0, 10**18 - 1, places=28) | st.decimals(0, 1, places=5) | AMOUNTS
RATIOS = st.lists(st.integers(1, 100), min_size=1, max_size=10)
LARGEST = Decimal("9" * 18 + "." + "9" * 28)


def summed(shares: tuple[Money, ...]) -> Money:
    return sum(shares[1:], start=shares[0])


# --- properties (TST-03) ----------------------------------------------------------------------------------------------


@given(AMOUNTS, CURRENCIES)
def test_money_is_never_negative_and_keeps_what_it_is_given(amount: Decimal, currency: str) -> None:
    money = Money(amount, currency)
    assert money.amount == amount >= 0
    assert money.currency == currency
    assert money == Money(str(amount), currency)
    assert hash(money) == hash(Money(amount.normalize(), currency))


@given(AMOUNTS, AMOUNTS, AMOUNTS, CURRENCIES)
def test_addition_is_commutative_and_associative(a: Decimal, b: Decimal, c: Decimal, currency: str) -> None:
    first, second, third = Money(a, currency), Money(b, currency), Money(c, currency)
    assert first + second == second + first
    assert (first + second) + third == first + (second + third)
    assert (first + second) - second == first


@given(AMOUNTS, CURRENCIES)
def test_zero_is_neutral(amount: Decimal, currency: str) -> None:
    money = Money(amount, currency)
    assert money + Money(0, currency) == money == money - Money(0, currency)
    assert money * 1 == money == money / 1
    assert money - money == Money(0, currency) == money * 0


# --- amounts and currencies (REQ-39, REQ-40) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_as", "amount"),
    [
        (5, "5"),
        ("99.99", "99.99"),
        ("+1.", "1"),
        (".5", "0.5"),
        ("1e3", "1000"),
        (Decimal("0.10"), "0.1"),
        (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (1e-7, "0.0000001"),
        (0, "0"),
        ("-0.00", "0"),
        (-0.0, "0"),
        ("0e99999", "0"),
        ("0e-99999", "0"),
        (LARGEST, str(LARGEST)),
        ("1." + "0" * 40, "1"),
    ],
)
def test_amounts_of_every_kind_are_read_exactly(given_as: Any, amount: str) -> None:
    money = Money(given_as)
    assert type(money.amount) is Decimal
    assert money.amount == Decimal(amount)
    assert not money.amount.is_signed()


@pytest.mark.parametrize("amount", [True, False, None, b"1", [1], 1 + 0j, Money(1)])
def test_an_amount_of_another_type_is_a_type_error(amount: Any) -> None:
    with pytest.raises(TypeError, match="an amount is"):
        Money(amount)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-inf", "sNaN", float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN")])
def test_what_is_not_finite_is_refused(amount: Any) -> None:
    with pytest.raises(ValueError, match="an amount"):
        Money(amount)


@pytest.mark.parametrize("amount", [-1, "-0.01", Decimal("-1"), -0.5])
def test_a_negative_amount_is_refused(amount: Any) -> None:
    with pytest.raises(ValueError, match="not negative"):
        Money(amount)


@pytest.mark.parametrize("amount", ["", " ", " 1", "1 ", "1\n", "1,5", "1_000", "abc", "1.2.3", "0x10", "\uff11", "--1", ".", "e5"])
def test_a_text_that_is_no_decimal_number_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="decimal number"):
        Money(amount)


@pytest.mark.parametrize(
    "amount",
    ["1e18", 10**18, 10**400, "1e999999", "1e99999999999999999999999", "9" * 1_000, "1e-29", Decimal("1e-29"), 1e300, 5e-324],
)
def test_an_amount_out_of_bounds_is_refused_and_not_rounded(amount: Any) -> None:
    with pytest.raises(ValueError, match="18 digits before the point and 28 after it"):
        Money(amount)


@pytest.mark.parametrize(("given_as", "currency"), [("usd", "USD"), ("Eur", "EUR"), ("XXX", "XXX")])
def test_a_currency_is_upper_cased(given_as: str, currency: str) -> None:
    assert Money(1, given_as).currency == currency


def test_the_default_currency_is_usd() -> None:
    assert Money(1).currency == "USD"


# Upper-casing makes three letters of the sharp s and an a, an S of the long s, an I of the dotless i.
@pytest.mark.parametrize("currency", ["", "US", "USDX", "U1D", "US ", "ÄÖÜ", "\u00dfa", "u\u017fd", "\u0131ls", "USD\n", "U-D"])
def test_a_currency_of_other_than_three_letters_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="three letters"):
        Money(1, currency)


@pytest.mark.parametrize("currency", [None, 840, b"USD"])
def test_a_currency_of_another_type_is_a_type_error(currency: Any) -> None:
    with pytest.raises(TypeError, match="a currency is a text"):
        Money(1, currency)


# --- a value (REQ-41) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["amount", "currency", "other", "__dict__", "__class__"])
def test_no_attribute_can_be_set_or_deleted(name: str) -> None:
    money = Money(1)
    with pytest.raises(AttributeError):
        setattr(money, name, Decimal(2))
    with pytest.raises(AttributeError):
        delattr(money, name)
    assert money == Money(1)


def test_equality_and_hash_are_over_amount_and_currency() -> None:
    assert Money("1.5") == Money("1.50")
    assert len({Money("1.5"), Money("1.50"), Money("1.5", "EUR")}) == 2
    assert Money(1) != Money(2)
    assert Money(1, "USD") != Money(1, "EUR")


@pytest.mark.parametrize("other", [1, Decimal(1), "1", None, (Decimal(1), "USD")])
def test_another_type_is_not_comparable_which_is_no_error(other: object) -> None:
    assert Money(1).__eq__(other) is NotImplemented
    assert Money(1).__lt__(other) is NotImplemented
    assert Money(1).__le__(other) is NotImplemented
    assert (Money(1) == other) is False
    with pytest.raises(TypeError):
        Money(1) < other  # type: ignore[operator]  # noqa: B015


def test_amounts_of_one_currency_are_ordered() -> None:
    assert Money("999.99") < Money("1000.00") <= Money(1000)
    assert Money("1000.01") > Money("1000.00") >= Money(1000)
    assert not Money("1000.00") > Money(1000)


@pytest.mark.parametrize("compare", [Money.__lt__, Money.__le__])
def test_amounts_of_two_currencies_have_no_order(compare: Any) -> None:
    with pytest.raises(ValueError, match="USD and EUR"):
        compare(Money(1), Money(1, "EUR"))


def test_money_can_be_copied_and_pickled() -> None:
    money = Money("1.50", "EUR")
    assert copy.copy(money) == copy.deepcopy(money) == pickle.loads(pickle.dumps(money)) == money


# --- arithmetic (REQ-42) ----------------------------------------------------------------------------------------------


def test_sums_differences_products_and_quotients() -> None:
    assert Money("0.1") + Money("0.2") == Money("0.3")
    assert Money(5) - Money(5) == Money(0)
    assert Money("99.99") * 3 == 3 * Money("99.99") == Money("299.97")
    assert Money("1.00") * 0.1 == Money("0.1") == Money(1) / 10 == Money(1) / 10.0
    assert Money(5) * Decimal("0.5") == Money("2.5")
    assert (Money(100) / 3).amount == Decimal("33.33333333333333333333333333")
    assert Money("0.01") / 3 == Money("0.0033333333333333333333333333")
    assert Money(0) * -1 == Money(0)


def test_sums_are_exact_up_to_the_last_decimal() -> None:
    dust = Money(Decimal("1e-28"))
    assert (Money(LARGEST) - dust) + dust == Money(LARGEST)
    with pytest.raises(ValueError, match="18 digits"):
        Money(LARGEST) + dust


def test_a_result_does_not_depend_on_the_threads_decimal_context() -> None:
    with localcontext() as context:
        context.prec = 2
        assert Money("1234.56") + Money("0.01") == Money("1234.57")
        assert Money("1234.56") * 2 == Money("2469.12")
        assert str(Money("1234.56")) == "USD 1,234.56"
        assert Money("1234.56").allocate([1]) == (Money("1234.56"),)
    assert getcontext().prec == 28


@pytest.mark.parametrize("combine", [Money.__add__, Money.__sub__])
def test_two_currencies_cannot_be_combined(combine: Any) -> None:
    with pytest.raises(ValueError, match="USD and EUR"):
        combine(Money(1, "USD"), Money(1, "EUR"))


@pytest.mark.parametrize(
    "negative",
    [lambda: Money(1) - Money("1.01"), lambda: Money(1) * -1, lambda: -0.5 * Money(1), lambda: Money(1) / -2],
)
def test_a_negative_result_is_a_value_error(negative: Any) -> None:
    with pytest.raises(ValueError, match="not negative"):
        negative()


@pytest.mark.parametrize("zero", [0, 0.0, -0.0, Decimal("0.00")])
def test_dividing_by_zero_is_a_value_error(zero: Any) -> None:
    with pytest.raises(ValueError, match="divided by zero"):
        Money(1) / zero


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), Decimal("-Infinity"), Decimal("sNaN")])
def test_only_finite_numbers_scale_money(factor: Any) -> None:
    with pytest.raises(ValueError, match="finite"):
        Money(1) * factor
    with pytest.raises(ValueError, match="finite"):
        Money(1) / factor


@pytest.mark.parametrize("too_large", [lambda: Money(10) * 10**17, lambda: Money(10) * Decimal("1e999999"), lambda: Money(1) / 5e-324])
def test_a_result_out_of_bounds_is_a_value_error(too_large: Any) -> None:
    with pytest.raises(ValueError, match="18 digits"):
        too_large()


@pytest.mark.parametrize("other", [1, "1", None, True])
def test_only_money_is_added_and_subtracted(other: Any) -> None:
    with pytest.raises(TypeError):
        Money(1) + other
    with pytest.raises(TypeError):
        Money(1) - other


@pytest.mark.parametrize("other", ["2", None, True, Money(2)])
def test_only_numbers_multiply_and_divide(other: Any) -> None:
    with pytest.raises(TypeError):
        Money(1) * other
    with pytest.raises(TypeError):
        Money(1) / other


# --- text (REQ-43) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money("1234.5"), "USD 1,234.50"),
        (Money(0, "JPY"), "JPY 0.00"),
        (Money("0.005"), "USD 0.00"),
        (Money("0.015"), "USD 0.02"),
        (Money("1e9", "EUR"), "EUR 1,000,000,000.00"),
    ],
)
def test_users_read_code_separators_and_two_decimals(money: Money, text: str) -> None:
    assert str(money) == text


@given(FINE_AMOUNTS, CURRENCIES)
def test_developers_read_amount_and_currency(amount: Decimal, currency: str) -> None:
    assert repr(Money("1234.50", "EUR")) == "Money('1234.50', 'EUR')"
    assert eval(repr(Money(amount, currency))) == Money(amount, currency)


# --- shares (REQ-44, REQ-45, TST-04) ----------------------------------------------------------------------------------


@given(st.decimals(0, 1_000, places=2), RATIOS, CURRENCIES)
def test_shares_sum_exactly_to_the_original_and_none_is_negative(amount: Decimal, ratios: list[int], currency: str) -> None:
    shares = Money(amount, currency).allocate(ratios)
    assert len(shares) == len(ratios)
    assert summed(shares) == Money(amount, currency)
    assert all(share.amount >= 0 for share in shares)
    assert all(share.amount.as_tuple().exponent == -2 for share in shares)


@given(FINE_AMOUNTS, st.lists(st.integers(0, 100), min_size=1, max_size=10).filter(any))
def test_every_share_is_the_exact_one_within_a_cent_also_of_fine_amounts(amount: Decimal, ratios: list[int]) -> None:
    shares = Money(amount).allocate(ratios)
    first = next(place for place, ratio in enumerate(ratios) if ratio)
    assert summed(shares) == Money(amount)
    for place, (share, ratio) in enumerate(zip(shares, ratios, strict=True)):
        numerator, denominator = share.amount.as_integer_ratio()
        exact_numerator, exact_denominator = amount.as_integer_ratio()
        # share - amount * ratio / sum(ratios), in hundredths, as a fraction of whole numbers
        above = 100 * (numerator * exact_denominator * sum(ratios) - exact_numerator * ratio * denominator)
        unit = denominator * exact_denominator * sum(ratios)
        assert -unit < above < 2 * unit if place == first else -unit < above <= unit
        assert ratio or not share.amount


@pytest.mark.parametrize(
    ("amount", "ratios", "shares"),
    [
        ("100.00", [1, 1, 1], "33.34 33.33 33.33"),
        ("0.05", [1] * 7, "0.01 0.01 0.01 0.01 0.01 0.00 0.00"),
        ("0.05", [0, 1, 0, 1], "0.00 0.03 0.00 0.02"),
        ("0.00", [1, 2], "0.00 0.00"),
        ("10.00", [3, 7], "3.00 7.00"),
        ("0.01", [0, 0, 5], "0.00 0.00 0.01"),
        ("1.005", [0, 1, 1], "0.00 0.505 0.50"),
        ("0.025", [1, 4], "0.005 0.02"),
        ("0.001", [1, 1], "0.001 0.00"),
        ("5", [1], "5.00"),
    ],
)
def test_left_over_cents_go_to_the_first_with_a_ratio(amount: str, ratios: list[int], shares: str) -> None:
    assert [str(share.amount) for share in Money(amount).allocate(ratios)] == shares.split()


def test_shares_keep_the_currency() -> None:
    assert Money(1, "EUR").allocate((1, 1)) == (Money("0.5", "EUR"), Money("0.5", "EUR"))


@pytest.mark.parametrize(("ratios", "why"), [([], "above zero"), ([0, 0], "above zero"), ([1, -1], "not negative"), ([-1], "not negative")])
def test_no_ratios_negative_ones_and_a_zero_total_are_refused(ratios: list[int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Money(1).allocate(ratios)


@pytest.mark.parametrize("ratio", [1.0, "1", Decimal(1), True, None])
def test_a_ratio_that_is_no_whole_number_is_a_type_error(ratio: Any) -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        Money(1).allocate([1, ratio])


def test_whole_numbers_of_any_kind_are_amounts_and_ratios() -> None:
    part = IntEnum("part", {"ONE": 1})
    assert Money(part["ONE"]).allocate([part["ONE"]]) == (Money(1),)
