"""Amounts of money: whole numbers, decimal text or wire objects in, exact immutable values out; messages and policies use them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Annotated, Any, Never, final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema, to_json

from contracts.errors import ValidationError, shape

DEFAULT_CURRENCY = "USD"
MAX_WHOLE_DIGITS = 18
MAX_DECIMALS = 28
"""The limits keep sums exact and texts short: `1e999999` is eight characters and would print as a megabyte."""

AMOUNT_PATTERN = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
CURRENCY_PATTERN = r"^[A-Za-z]{3}$"
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CURRENCY = re.compile(CURRENCY_PATTERN)
_CENT = Decimal("0.01")

# Contexts of our own: the thread's context is anybody's to change, and a result must not depend on it.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])
_ROUNDED = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_PLACES = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])


@final
class Money:
    """An amount in one currency: never negative, never a binary float, never changed. Equal by (amount, currency): 1.5 is 1.50.

    `Money("99.99")`, `Money(5, "eur")`, `Money(Decimal("0.1"))`; a float is read by its shortest text, so `Money(0.1)` is 0.1.
    The amount is in units of the currency, below 10**18 and with at most 28 decimals; the currency is three letters, upper-cased.
    Raises TypeError for other kinds of values, ValueError for values out of these bounds.

    Sums and differences are exact; products and quotients have 28 significant digits, at most 28 of them decimals, half to even.
    """

    __slots__ = ("amount", "currency")

    amount: Decimal
    currency: str

    def __init__(self, amount: int | str | Decimal | float, currency: str = DEFAULT_CURRENCY) -> None:
        object.__setattr__(self, "amount", _checked_amount(amount))
        object.__setattr__(self, "currency", _checked_currency(currency))

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"money cannot be changed, so {name} cannot be set: make a new one")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"money cannot be changed, so {name} cannot be deleted")

    def __reduce__(self) -> tuple[type[Money], tuple[Decimal, str]]:
        return Money, (self.amount, self.currency)

    # -- comparing -------------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount == other.amount and self.currency == other.currency

    def __hash__(self) -> int:
        return hash((self.amount, self.currency))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount < self._same_currency(other, "compared").amount

    def __le__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount <= self._same_currency(other, "compared").amount

    # -- arithmetic ------------------------------------------------------------------------------------------------------

    def __add__(self, other: object) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        return Money(_EXACT.add(self.amount, self._same_currency(other, "added").amount), self.currency)

    def __sub__(self, other: object) -> Money:
        """Raises ValueError when more is taken away than there is."""
        if not isinstance(other, Money):
            return NotImplemented
        return Money(_EXACT.subtract(self.amount, self._same_currency(other, "subtracted").amount), self.currency)

    def __mul__(self, factor: object) -> Money:
        """Raises ValueError for a factor that makes the amount negative."""
        number = _number(factor)
        if number is None:
            return NotImplemented
        return self._scaled(_ROUNDED.multiply, number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> Money:
        """Raises ValueError for zero and for a divisor that makes the amount negative."""
        number = _number(divisor)
        if number is None:
            return NotImplemented
        if not number:
            raise ValueError("money cannot be divided by zero")
        return self._scaled(_ROUNDED.divide, number)

    def _scaled(self, operation: Callable[[Decimal, Decimal], Decimal], number: Decimal) -> Money:
        if not number.is_finite():
            raise ValueError("money is multiplied and divided by finite numbers only")
        try:
            result = operation(self.amount, number)
        except DecimalException as error:
            raise _out_of_bounds() from error
        if _decimals(result) > MAX_DECIMALS:
            result = _PLACES.quantize(result, _unit(MAX_DECIMALS))
        return Money(result, self.currency)

    def _same_currency(self, other: Money, done: str) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} cannot be {done}: the currencies differ")
        return other

    def allocate(self, ratios: Sequence[int]) -> tuple[Money, ...]:
        """One share for each ratio, in their order; the sum of the shares is exactly this amount, and none is negative.

        Each share is rounded down to 0.01. The cents left over go to the first shares with a ratio above zero, one each; what is
        finer than a cent goes to the first of them. Raises TypeError for ratios that are not whole numbers; ValueError for none at
        all, for a negative one, and when all are zero.
        """
        total = _total(ratios)
        numerator, denominator = self.amount.as_integer_ratio()
        # Whole numbers, because a quotient rounded in between could round a share up.
        cents = [numerator * 100 * ratio // (denominator * total) for ratio in ratios]
        rest = _EXACT.subtract(self.amount, _in_units(sum(cents)))
        left = int(_EXACT.scaleb(rest, 2))
        rest = _EXACT.subtract(rest, _in_units(left))
        takers = [place for place, ratio in enumerate(ratios) if ratio]
        for place in takers[:left]:
            cents[place] += 1
        shares = [_in_units(share) for share in cents]
        if rest:
            shares[takers[0]] = _EXACT.add(shares[takers[0]], rest)
        return tuple(Money(share, self.currency) for share in shares)

    def to_json(self) -> bytes:
        """The JSON object that a message holds, as bytes."""
        return to_json(_written(self))

    # -- text ------------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return f"{self.currency} {_PLACES.quantize(self.amount, _CENT):,f}"

    def __repr__(self) -> str:
        return f"Money('{self.amount:f}', '{self.currency}')"

    # -- as a field of a message -----------------------------------------------------------------------------------------

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            _read, handler.generate_schema(MoneyFields), serialization=core_schema.plain_serializer_function_ser_schema(_written)
        )


def financial_impact(metadata: Mapping[str, Any]) -> Money | None:
    """The money that a request is about (REQ-35): `metadata.amount` in `metadata.currency`, which is USD when it is not given.

    None when no amount is given. Raises contracts.errors.ValidationError, naming `metadata.amount` or `metadata.currency`, for
    what cannot be read: an amount that nobody understands must not pass as no amount.
    """
    amount, currency = metadata.get("amount"), metadata.get("currency")
    if amount is None:
        return None
    try:
        readable = _checked_amount(amount)
    except (TypeError, ValueError) as error:
        raise _unreadable("amount", amount, error) from None
    try:
        return Money(readable, DEFAULT_CURRENCY if currency is None else currency)
    except (TypeError, ValueError) as error:
        raise _unreadable("currency", currency, error) from None


def _unreadable(name: str, value: object, error: Exception) -> ValidationError:
    field = f"metadata.{name}"
    return ValidationError(f"The field {field} cannot be read as money.", field=field, details={"rule": str(error), "shape": shape(value)})


# --- checks -----------------------------------------------------------------------------------------------------------


def _checked_amount(value: object) -> Decimal:
    if isinstance(value, str):
        number = _decimal(value)
    else:
        found = _number(value)
        if found is None:
            raise TypeError(f"an amount is an int, a text, a Decimal or a float, and no {type(value).__name__}")
        number = found
    if not number.is_finite():
        raise ValueError("an amount is a finite number")
    if number < 0:
        raise ValueError("an amount is not negative")
    return _within_bounds(number)


def _within_bounds(number: Decimal) -> Decimal:
    """The same number written without an exponent above zero, and without the sign that a zero may have."""
    decimals = min(max(_decimals(number), 0), MAX_DECIMALS)
    try:
        fitted = _EXACT.quantize(number, _unit(decimals))
    except DecimalException as error:
        raise _out_of_bounds() from error
    if fitted.adjusted() >= MAX_WHOLE_DIGITS:
        raise _out_of_bounds()
    return fitted.copy_abs()


def _checked_currency(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a currency is a text, and no {type(value).__name__}")
    if not _CURRENCY.fullmatch(value):  # before upper(), which makes three letters of some shorter texts
        raise ValueError("a currency is exactly three letters A to Z")
    return value.upper()


def _number(value: object) -> Decimal | None:
    """The number, a float by its shortest text; None for what is no number. A truth value is none, though Python counts with it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return Decimal(repr(float(value)))
    return Decimal(value) if isinstance(value, int | Decimal) else None


def _decimal(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("an amount as text is a decimal number")
    try:
        return _EXACT.create_decimal(text)
    except DecimalException as error:
        raise _out_of_bounds() from error


def _total(ratios: Sequence[int]) -> int:
    if any(isinstance(ratio, bool) or not isinstance(ratio, int) for ratio in ratios):
        raise TypeError("ratios are whole numbers")
    if any(ratio < 0 for ratio in ratios):
        raise ValueError("a ratio is not negative")
    total = sum(ratios)
    if not total:
        raise ValueError("at least one ratio is above zero")
    return total


def _out_of_bounds() -> ValueError:
    return ValueError(f"an amount has at most {MAX_WHOLE_DIGITS} digits before the point and {MAX_DECIMALS} after it")


def _decimals(number: Decimal) -> int:
    """How many digits stand after the point; below zero for a number written with a positive exponent."""
    return -int(number.as_tuple().exponent)


def _unit(decimals: int) -> Decimal:
    """One of the last place: 0.01 for two decimals."""
    return Decimal((0, (1,), -decimals))


def _in_units(cents: int) -> Decimal:
    return _EXACT.scaleb(Decimal(cents), -2)


# --- reading and writing ----------------------------------------------------------------------------------------------


def _read_amount(value: object) -> Decimal:
    try:
        return _checked_amount(value)
    except (TypeError, ValueError) as error:
        raise PydanticCustomError("money_amount", "Input should be a valid amount: {reason}", {"reason": str(error)}) from None


def _read_exact_amount(value: object) -> Decimal:
    if isinstance(value, float):
        raise PydanticCustomError("money_float", "Input should be a decimal number as text, because a binary number is not exact")
    return _read_amount(value)


def _read_currency(value: object) -> str:
    try:
        return _checked_currency(value)
    except (TypeError, ValueError) as error:
        raise PydanticCustomError("money_currency", "Input should be a valid currency: {reason}", {"reason": str(error)}) from None


class _AmountRule:
    """A wire amount: decimal text or a whole number. A binary float is taken from Python only, where nothing is strict."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.lax_or_strict_schema(
            lax_schema=core_schema.no_info_plain_validator_function(_read_amount),
            strict_schema=core_schema.no_info_plain_validator_function(_read_exact_amount),
        )

    def __get_pydantic_json_schema__(self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [{"type": "string", "pattern": AMOUNT_PATTERN}, {"type": "integer", "minimum": 0}],
            "description": "Not negative, as text such as 99.99; "
            f"at most {MAX_WHOLE_DIGITS} digits before the point and {MAX_DECIMALS} after it.",
        }


class _CurrencyRule:
    """A wire currency: three letters, upper-cased when read."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(_read_currency)

    def __get_pydantic_json_schema__(self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": CURRENCY_PATTERN}


@dataclass(frozen=True)
class MoneyFields:
    """An amount in one currency."""

    # A plain dataclass takes over the rule on unknown fields from the message around it: refused in a command, ignored in an event.

    amount: Annotated[Decimal, _AmountRule()]
    currency: Annotated[str, _CurrencyRule()] = DEFAULT_CURRENCY


def _read(value: object, handler: core_schema.ValidatorFunctionWrapHandler) -> Money:
    if isinstance(value, Money):
        return value
    fields = handler(value)
    return Money(fields.amount, fields.currency)


def _written(money: Money) -> dict[str, str]:
    return {"amount": f"{money.amount:f}", "currency": money.currency}
