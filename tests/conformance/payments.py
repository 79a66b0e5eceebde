"""What every payment service keeps, whatever adapter reaches it; adapters subclass and supply the service."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest

from contracts.money import Money
from infra.payments.base import PaymentRefused, Payments, RefundOrder

ORDER = RefundOrder(
    idempotency_key="refund/key 1", amount=Money("99.99", "EUR"), customer_id="cust-0042", order_id="o-7", reason="Approved refund"
)


class PaymentsConformance(ABC):
    """The suite."""

    @abstractmethod
    def service(self) -> AbstractAsyncContextManager[Payments]:
        """A service that has paid nothing yet."""

    async def test_what_is_paid_has_a_receipt_of_its_amount(self) -> None:
        async with self.service() as payments:
            receipt = await payments.refund(ORDER)
            assert (receipt.amount, receipt.idempotency_key) == (Money("99.99", "EUR"), ORDER.idempotency_key)
            assert receipt.payment_id

    async def test_the_same_order_again_is_the_same_payment(self) -> None:
        async with self.service() as payments:
            assert await payments.refund(ORDER) == await payments.refund(ORDER)

    async def test_orders_given_at_once_are_one_payment(self) -> None:
        async with self.service() as payments:
            receipts = await asyncio.gather(*(payments.refund(ORDER) for _ in range(5)))
            assert len({receipt.payment_id for receipt in receipts}) == 1

    async def test_another_key_is_another_payment(self) -> None:
        async with self.service() as payments:
            second = await payments.refund(ORDER.model_copy(update={"idempotency_key": "refund-2"}))
            assert second.payment_id != (await payments.refund(ORDER)).payment_id

    @pytest.mark.parametrize("amount", [Money("1.00", "EUR"), Money("99.99", "USD")])
    async def test_the_same_key_with_another_amount_is_refused(self, amount: Money) -> None:
        async with self.service() as payments:
            await payments.refund(ORDER)
            with pytest.raises(PaymentRefused):
                await payments.refund(ORDER.model_copy(update={"amount": amount}))

    async def test_what_was_paid_is_found_by_its_key_and_nothing_else_is(self) -> None:
        async with self.service() as payments:
            assert await payments.find(ORDER.idempotency_key) is None
            receipt = await payments.refund(ORDER)
            assert await payments.find(ORDER.idempotency_key) == receipt
            assert await payments.find("refund-2") is None
