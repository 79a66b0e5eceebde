"""A payment service in memory: pays each order once and counts; for tests of agents, nothing survives the process."""

from __future__ import annotations

from infra.payments.base import Receipt, RefundOrder, agreed


class InMemoryPayments:
    """Promises as in `infra.payments.base.Payments`."""

    def __init__(self) -> None:
        self._paid: dict[str, Receipt] = {}
        self.orders: list[RefundOrder] = []
        """What was asked for, repeats included."""

    @property
    def paid(self) -> list[Receipt]:
        """What was paid."""
        return list(self._paid.values())

    async def refund(self, order: RefundOrder) -> Receipt:
        """See the port."""
        self.orders.append(order)
        number = len(self._paid) + 1
        new = Receipt(payment_id=f"pay-{number}", idempotency_key=order.idempotency_key, amount=order.amount)
        return agreed(order, self._paid.setdefault(order.idempotency_key, new))

    async def find(self, idempotency_key: str) -> Receipt | None:
        """See the port."""
        return self._paid.get(idempotency_key)
