"""The payment adapters: both keep the suite; the one over HTTP has one outcome for whatever the service does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from pydantic import SecretStr

from infra.payments.base import PaymentRefused, Payments, PaymentsUnavailable
from infra.payments.http import HttpPayments
from infra.payments.memory import InMemoryPayments
from infra.telemetry.metrics import Metrics
from tests.conformance.payments import ORDER, PaymentsConformance
from tests.payment_server import TOKEN, PaymentServer, payment_server


class TestInMemoryPayments(PaymentsConformance):
    @asynccontextmanager
    async def service(self) -> AsyncIterator[Payments]:
        yield InMemoryPayments()


class TestHttpPayments(PaymentsConformance):
    @asynccontextmanager
    async def service(self) -> AsyncIterator[Payments]:
        with payment_server() as server:
            async with adapter(server) as payments:
                yield payments


@asynccontextmanager
async def adapter(server: PaymentServer, *, seconds: float = 5.0, metrics: Metrics | None = None) -> AsyncIterator[HttpPayments]:
    async with httpx2.AsyncClient() as client:
        yield HttpPayments(server.url, SecretStr(TOKEN), seconds, metrics or Metrics(), client, "resolution")


@pytest.fixture
def server() -> Iterator[PaymentServer]:
    with payment_server() as started:
        yield started


async def test_an_order_says_what_for_and_who_asks(server: PaymentServer) -> None:
    async with adapter(server) as payments:
        await payments.refund(ORDER)
    (paid,) = server.paid.values()
    assert paid["body"] == {
        "amount": "99.99",
        "currency": "EUR",
        "order_id": "o-7",
        "customer_id": "cust-0042",
        "reason": "Approved refund",
    }
    assert server.tokens == {f"Bearer {TOKEN}"}


async def test_a_failure_is_tried_again_and_paid_once(server: PaymentServer) -> None:
    server.failures = [500, server.after_paying]
    metrics = Metrics()
    async with adapter(server, metrics=metrics) as payments:
        receipt = await payments.refund(ORDER)
    assert (receipt.payment_id, len(server.paid), len(server.requests)) == ("pay-1", 1, 3)
    assert metrics.registry.get_sample_value("agentmesh_retries_total", {"name": "payments.resolution"}) == 2


async def test_a_service_that_keeps_failing_is_unavailable(server: PaymentServer) -> None:
    server.failures = [503] * 3
    async with adapter(server) as payments:
        with pytest.raises(PaymentsUnavailable):
            await payments.refund(ORDER)
    assert (server.paid, len(server.requests)) == ({}, 3)


async def test_a_wait_that_is_too_long_is_not_waited(server: PaymentServer) -> None:
    server.failures, server.headers = [429], {"retry-after": "3600"}
    async with adapter(server) as payments:
        with pytest.raises(PaymentsUnavailable) as caught:
            await payments.refund(ORDER)
    assert caught.value.retry_after == 3600
    assert len(server.requests) == 1


async def test_a_service_that_is_too_slow_is_unavailable(server: PaymentServer) -> None:
    server.wait = 1.0
    async with adapter(server, seconds=0.1) as payments:
        with pytest.raises(PaymentsUnavailable):
            await payments.refund(ORDER)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 422])
async def test_a_refusal_is_final_and_not_tried_again(server: PaymentServer, status: int) -> None:
    server.failures = [status]
    async with adapter(server) as payments:
        with pytest.raises(PaymentRefused) as caught:
            await payments.refund(ORDER)
    assert str(status) in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(server.requests) == 1


async def test_an_answer_that_is_no_receipt_is_unavailable(server: PaymentServer) -> None:
    server.garble = True
    async with adapter(server) as payments:
        with pytest.raises(PaymentsUnavailable):
            await payments.refund(ORDER)


async def test_a_service_that_is_away_is_unavailable(server: PaymentServer) -> None:
    server.close()
    async with adapter(server) as payments:
        with pytest.raises(PaymentsUnavailable):
            await payments.find(ORDER.idempotency_key)
