"""An approved refund: paid once per request, told as it is, and never pretended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from infra.agents.testkit import TENANT, Handled, handled
from infra.effects.base import Status
from infra.effects.memory import InMemoryEffectLedger, InMemoryRuns
from infra.models.base import ModelUnavailable
from infra.models.scripted import ScriptedModel
from infra.payments.base import PaymentRefused, PaymentsUnavailable, Receipt, RefundOrder
from infra.payments.memory import InMemoryPayments
from services.support_agents.agents import ResolutionAgent
from services.support_agents.refund import refund_key

APPROVED = {
    "message": "Please refund my order",
    "category": "refund",
    "priority": 2,
    "metadata": {"order_id": "order-17", "amount": "99.99", "currency": "EUR"},
    "request_id": "req-1",
    "customer_id": "cust-0042",
    "findings": [],
    "refund": {"amount": "99.99", "currency": "EUR"},
}


async def resolved(given: Mapping[str, Any] = APPROVED, **more: Any) -> Handled:
    return await handled(ResolutionAgent(), given, subject_id="req-1", **more)


async def test_an_approved_refund_is_paid_and_told_with_its_reference() -> None:
    payments = InMemoryPayments()
    done = await resolved(payments=payments)
    assert (
        "Your refund of 99.99 EUR was approved and has been paid back. The reference of the payment is pay-1." in done.result["resolution"]
    )
    assert done.result["refund"] == {"amount": "99.99", "currency": "EUR", "status": "paid", "payment_id": "pay-1"}
    (order,) = payments.orders
    assert (order.order_id, order.customer_id, order.idempotency_key) == ("order-17", "cust-0042", refund_key(TENANT, "req-1"))
    assert [effect.status for effect in done.effects] == [Status.RECORDED]


async def test_two_resolution_tasks_of_one_request_pay_once() -> None:
    payments = InMemoryPayments()
    first = await resolved(payments=payments, task_id="task-1")
    second = await resolved(payments=payments, task_id="task-2")
    assert len(payments.paid) == 1
    assert first.result["refund"] == second.result["refund"]


async def test_another_amount_under_the_same_request_is_refused_and_not_paid() -> None:
    payments = InMemoryPayments()
    await resolved(payments=payments, task_id="task-1")
    failure = (await resolved({**APPROVED, "refund": {"amount": "5.00", "currency": "EUR"}}, payments=payments, task_id="task-2")).failure
    assert (failure.error_type, failure.final) == ("PaymentRefused", True)
    assert len(payments.paid) == 1


def test_the_key_is_the_tenants_and_the_requests() -> None:
    assert refund_key("a", "req-1") == refund_key("a", "req-1")
    assert len({refund_key("a", "req-1"), refund_key("b", "req-1"), refund_key("a", "req-2")}) == 3


async def test_without_an_order_nothing_is_paid() -> None:
    payments = InMemoryPayments()
    done = await resolved({**APPROVED, "refund": None}, payments=payments)
    assert payments.orders == []
    assert "refund" not in done.result
    assert "none has been decided yet" in done.result["resolution"]


async def test_without_a_payment_service_the_answer_leaves_the_refund_to_staff() -> None:
    done = await resolved()
    assert "Your refund of 99.99 EUR was approved. A member of our team will carry it out." in done.result["resolution"]
    assert "paid back" not in done.result["resolution"]
    assert done.result["refund"] == {"amount": "99.99", "currency": "EUR", "status": "by_staff", "payment_id": None}
    assert done.effects == []


@pytest.mark.parametrize(
    "unreadable",
    [{}, {"amount": "much", "currency": "EUR"}, {"amount": "-1", "currency": "EUR"}, {"amount": "1", "currency": "?"}, "all", 7],
)
async def test_a_refund_that_cannot_be_read_ends_the_task(unreadable: Any) -> None:
    payments = InMemoryPayments()
    failure = (await resolved({**APPROVED, "refund": unreadable}, payments=payments)).failure
    assert (failure.error_type, failure.final) == ("TaskFailed", True)
    assert payments.orders == []


class LostAnswer(InMemoryPayments):
    """Pays, and then its answer is lost, as often as told."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self._lost = lost

    async def refund(self, order: RefundOrder) -> Receipt:
        receipt = await super().refund(order)
        if self._lost > 0:
            self._lost -= 1
            raise PaymentsUnavailable("the answer was lost")
        return receipt


async def test_a_payment_whose_answer_was_lost_is_asked_for_and_not_made_again() -> None:
    runs, payments = InMemoryRuns(), LostAnswer(1)
    ledger = InMemoryEffectLedger(runs)
    failed = await resolved(payments=payments, ledger=ledger, runs=runs)
    assert (failed.failure.error_type, failed.failure.final) == ("PaymentsUnavailable", False)
    done = await resolved(payments=payments, ledger=ledger, runs=runs, attempt_number=2)
    assert done.result["refund"]["payment_id"] == "pay-1"
    assert len(payments.orders) == 1
    assert done.effects[0].outcome_from == "probe"


class Refusing(InMemoryPayments):
    """Pays nobody."""

    async def refund(self, order: RefundOrder) -> Receipt:
        raise PaymentRefused("no such order")


async def test_a_refused_payment_ends_the_task_and_says_so() -> None:
    failure = (await resolved(payments=Refusing())).failure
    assert (failure.error_type, failure.reason, failure.final) == ("PaymentRefused", "no such order", True)


async def test_a_model_that_fails_has_paid_nothing() -> None:
    payments = InMemoryPayments()
    done = await resolved(payments=payments, model=ScriptedModel({"resolution": ModelUnavailable("away")}))
    assert done.failure.error_type == "ModelUnavailable"
    assert payments.orders == []
