"""The port to a payment service: a refund order in, its receipt out, each order paid at most once; adapters stand beside."""

from __future__ import annotations

from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from contracts.money import Money
from infra.effects.base import EffectRefused
from infra.errors import DataError, MeshError, TransientError


class PaymentError(MeshError):
    """Base of what a payment service raises.

    PaymentError
    ├── PaymentsUnavailable   away, overloaded, too slow: whether the refund was paid is unknown, `find` tells
    └── PaymentRefused        the service refused the order: nothing was paid, and will not be
    """


class PaymentsUnavailable(PaymentError, TransientError):
    """No usable answer. The same order may be given again: its key keeps it from being paid twice."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PaymentRefused(PaymentError, DataError, EffectRefused):
    """The service did not pay: an unknown order, an amount it does not accept, a key that stands for another refund."""

    final: ClassVar[bool] = True
    """Another attempt would be refused too."""


class RefundOrder(BaseModel):
    """What is to be paid back. Two orders with one key are one order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idempotency_key: str = Field(min_length=1, max_length=200)
    amount: Money
    customer_id: str | None = None
    order_id: str | None = None
    """The purchase that is paid back, as the service knows it."""
    reason: str = Field(max_length=500)


class Receipt(BaseModel):
    """The service's word that it has paid."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    payment_id: str = Field(min_length=1, max_length=200)
    idempotency_key: str
    amount: Money


class Payments(Protocol):
    """A payment service. Every method may be called again after PaymentsUnavailable, with the same arguments."""

    async def refund(self, order: RefundOrder) -> Receipt:
        """Pay back, or answer the receipt of the payment that was made under the order's key. Raises PaymentsUnavailable, and
        PaymentRefused, also when the key stands for another amount."""
        ...

    async def find(self, idempotency_key: str) -> Receipt | None:
        """The receipt of what was paid under a key; None when nothing was. Raises PaymentsUnavailable, PaymentRefused."""
        ...


def agreed(order: RefundOrder, receipt: Receipt) -> Receipt:
    """The receipt, if it is that of the order. Raises PaymentRefused: a receipt for something else pays nothing of this order."""
    if receipt.idempotency_key != order.idempotency_key or receipt.amount != order.amount:
        raise PaymentRefused(f"Under the key {order.idempotency_key} another refund was paid, {receipt.payment_id}: this one is not.")
    return receipt
