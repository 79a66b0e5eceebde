"""A payment service over HTTP: refund orders in, receipts out; built by agent hosts where AGENTMESH_PAYMENTS_URL is set.

    POST {url}/refunds         Idempotency-Key: KEY   {"amount": "9.99", "currency": "EUR", "order_id": …, "customer_id": …, "reason": …}
    GET  {url}/refunds/{key}   404 when nothing was paid under the key

Both answer `{"payment_id": …, "idempotency_key": …, "amount": "9.99", "currency": "EUR"}` for what was paid. The same key with another
body is answered 409 or 422.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic import SecretStr, ValidationError

from contracts.money import Money
from infra.errors import BulkheadFull, CallTimedOut, CircuitOpen, TransientError
from infra.payments.base import PaymentRefused, PaymentsUnavailable, Receipt, RefundOrder, agreed
from infra.resilience.bounded_retry import RetryPolicy
from infra.resilience.breaker import BreakerPolicy
from infra.resilience.patience import Patience
from infra.resilience.protection import Protection
from infra.telemetry.metrics import Metrics

RETRIED_STATUSES = frozenset({408, 425, 429})
NOT_FOUND = 404


class HttpPayments:
    """Promises as in `infra.payments.base.Payments`. A request is tried again after a transient failure: its key makes that harmless;
    and a service that is away is waited for, `patience_seconds` long."""

    def __init__(
        self,
        url: str,
        token: SecretStr | None,
        timeout_seconds: float,
        metrics: Metrics,
        client: httpx2.AsyncClient,
        owner: str,
        patience_seconds: float = 0.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = timeout_seconds
        self._client = client
        self._patience = Patience(f"payments.{owner}", patience_seconds)
        self._protection = Protection(
            f"payments.{owner}",
            metrics,
            breaker=BreakerPolicy(counted=(TransientError,)),
            retry=RetryPolicy(retryable=(TransientError,)),
            seconds=timeout_seconds,
        )

    async def refund(self, order: RefundOrder) -> Receipt:
        """See the port."""
        body = {
            "amount": f"{order.amount.amount:f}",
            "currency": order.amount.currency,
            "order_id": order.order_id,
            "customer_id": order.customer_id,
            "reason": order.reason,
        }
        answer = await self._asked("POST", "/refunds", {"Idempotency-Key": order.idempotency_key}, body)
        if answer is None:
            raise PaymentRefused("The payment service does not know what was to be paid back (404).")
        return agreed(order, answer)

    async def find(self, idempotency_key: str) -> Receipt | None:
        """See the port."""
        return await self._asked("GET", f"/refunds/{quote(idempotency_key, safe='')}", {}, None)

    async def _asked(self, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> Receipt | None:
        async def ask() -> Receipt | None:
            try:
                response = await self._client.request(
                    method, self._url + path, headers={**self._authorised(), **headers}, json=body, timeout=self._timeout
                )
            except httpx2.HTTPError as error:
                raise PaymentsUnavailable(f"The payment service could not be reached: {type(error).__name__}.") from error
            return _receipt(response)

        async def protected() -> Receipt | None:
            try:
                return await self._protection.call(ask)
            except (CallTimedOut, CircuitOpen, BulkheadFull) as error:
                raise PaymentsUnavailable(str(error), getattr(error, "retry_after", None)) from error

        return await self._patience.call(protected)

    def _authorised(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": f"Bearer {self._token.get_secret_value()}"}


def _receipt(response: httpx2.Response) -> Receipt | None:
    """The receipt of an answer; None for 404. Its errors name the status and never the body."""
    status = response.status_code
    if status == NOT_FOUND:
        return None
    if status >= 500 or status in RETRIED_STATUSES:
        raise PaymentsUnavailable(f"The payment service answered {status}.", _seconds(response.headers.get("retry-after")))
    if status >= 300:
        raise PaymentRefused(f"The payment service refused with {status}.")
    try:
        fields = response.json()
        return Receipt(
            payment_id=fields["payment_id"],
            idempotency_key=fields["idempotency_key"],
            amount=Money(fields["amount"], fields["currency"]),
        )
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise PaymentsUnavailable(f"The payment service answered {status} with what is no receipt.") from error


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; one that is a date counts as none."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
