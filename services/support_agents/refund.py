"""Carries out an approved refund: a resolution task that orders one in, what became of it out; run by the resolution agent.

The key under which the payment service pays is the request's, not the task's: two resolution tasks of one request pay once. Without a
payment service nothing is paid here, and the answer says that a member of the team will do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from contracts.ids import derived_uuid
from contracts.money import Money
from infra.agents.base import Task, TaskContext, TaskFailed
from infra.effects.base import NOT_DONE, NotDone, Probe
from infra.payments.base import Payments, Receipt, RefundOrder, agreed
from services.support_agents.answer import Refund

EFFECT = "refund"
# Never changes: a key that is made again by a later release must be the same.
REFUND_KEYS = UUID("0b5b1d52-58c2-5c0e-9d0a-5a8a3f0f6d21")


def refund_key(tenant_id: str, request_id: str) -> str:
    """The idempotency key of a request's refund."""
    return f"refund-{derived_uuid(REFUND_KEYS, f'{tenant_id}/{request_id}')}"


def refund_order(task: Task) -> RefundOrder | None:
    """The refund that a task orders; None when it orders none. Raises TaskFailed for one that cannot be read."""
    ordered = task.input.get("refund")
    if ordered is None:
        return None
    request_id = str(task.input.get("request_id") or task.subject_id)
    metadata = task.input.get("metadata") or {}
    try:
        amount = Money(str(ordered["amount"]), ordered["currency"])
    except (ValueError, TypeError, KeyError) as error:
        raise TaskFailed("the approved refund cannot be read: it needs an amount as text and a currency", final=True) from error
    return RefundOrder(
        idempotency_key=refund_key(task.tenant_id, request_id),
        amount=amount,
        customer_id=task.input.get("customer_id"),
        order_id=None if metadata.get("order_id") is None else str(metadata["order_id"]),
        reason=f"Approved refund of {request_id}"[:500],
    )


async def carry_out(task: Task, context: TaskContext) -> Refund | None:
    """Pay what the task orders, once. Raises what the payment service and the ledger raise."""
    order = refund_order(task)
    if order is None:
        return None
    if context.payments is None:
        context.logger.warning("no payment service is configured: the approved refund is left to staff")
        return Refund(order.amount, None)
    payments = context.payments

    async def pay() -> Mapping[str, Any]:
        # Another task of the request may have paid so long ago that the service has forgotten the key of that call.
        paid = await _found(payments, order) or await payments.refund(order)
        return paid.model_dump(mode="json")

    async def ask() -> Mapping[str, Any] | NotDone:
        paid = await _found(payments, order)
        return NOT_DONE if paid is None else paid.model_dump(mode="json")

    receipt = Receipt.model_validate(await context.effects.once(EFFECT, pay, input=order, rule=Probe(ask)))
    return Refund(receipt.amount, receipt.payment_id)


async def _found(payments: Payments, order: RefundOrder) -> Receipt | None:
    paid = await payments.find(order.idempotency_key)
    return None if paid is None else agreed(order, paid)
