"""What decisions on requests ask of other contexts: which commands, for whom, and what unknown means."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from contracts.customers.values import CustomerTier
from contracts.errors import ResourceNotFound
from contracts.requests.commands import CreateRequest, DeleteRequest, TriageRequest
from contracts.tenants.values import TenantSettings
from infra.postgres.base import QueryPort
from infra.runtime.base import DecisionContext
from projections.request_reference.queries import CustomerOfTenant
from services.requests.domain import evolve
from services.requests.handlers import create_request
from services.requests.reference import NOTHING_KNOWN, RequestReference
from services.requests.reference_data import customer_and_tenant, reference_data
from tests.unit.services.requests.request_states import APPROVE, COMPLETE, TRIAGE, request_in

COMMAND = CreateRequest.model_validate(
    {"tenant_id": "acme", "request_id": "req-1", "customer_id": "cust-0042", "message": "My invoice is wrong"}
)
DELETE = DeleteRequest.model_validate({"tenant_id": "acme", "request_id": "req-1"})
NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CONTEXT = DecisionContext(NOW, NOW, "acme", "user", "u-1", "c-1")
ASKED = CustomerOfTenant("acme", "cust-0042")


class Rows:
    """A database that answers these rows."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.rows = rows

    async def fetch(self, query: bytes, parameters: Any, timeout: float = 30.0) -> Any:
        return self.rows


def test_creating_asks_for_nothing_unless_tenants_must_exist() -> None:
    assert CreateRequest not in reference_data(tenants_must_exist=False).needed_by
    assert CreateRequest in reference_data(tenants_must_exist=True).needed_by
    assert TriageRequest in reference_data(tenants_must_exist=False).needed_by


def test_for_whom_is_told_by_the_request_or_by_the_command_that_creates_it() -> None:
    assert customer_and_tenant(None, COMMAND) == ASKED
    (created,) = create_request(None, COMMAND, CONTEXT)
    assert customer_and_tenant(evolve(None, created), DELETE) == ASKED
    assert customer_and_tenant(None, DELETE) is None


@pytest.mark.parametrize(
    ("state", "completing", "approving"),
    [
        ("pending", False, True),
        ("researching", True, False),
        ("resolving", False, False),
        ("awaiting", False, False),
        ("approved", False, False),
    ],
)
def test_what_is_decided_already_asks_for_nothing(state: str, completing: bool, approving: bool) -> None:
    request = request_in(state)
    assert (customer_and_tenant(request, COMPLETE) is not None) is completing
    assert (customer_and_tenant(request, APPROVE) is not None) is approving
    assert customer_and_tenant(request, TRIAGE) is not None


def test_an_unknown_tenant_is_refused_where_it_was_asked_for() -> None:
    known = CONTEXT._replace(reference=RequestReference(tenant_known=True))
    assert create_request(None, COMMAND, known) == create_request(None, COMMAND, CONTEXT)
    with pytest.raises(ResourceNotFound) as refused:
        create_request(None, COMMAND, CONTEXT._replace(reference=NOTHING_KNOWN))
    assert refused.value.details == {"resource_type": "Tenant", "resource_id": "acme"}


async def test_unknown_is_the_default() -> None:
    read = reference_data(tenants_must_exist=False).read
    unknown = ("acme", "cust-0042", None, False, None, None, None, None, None, None)
    assert await read(cast(QueryPort, Rows(unknown)), [ASKED]) == {ASKED: NOTHING_KNOWN}
    settings = TenantSettings(four_eyes=True, approvers=("ada",))
    known = ("acme", "cust-0042", "enterprise", True, "1000.00", "USD", 72, True, ["ada"], 100)
    expected = RequestReference(CustomerTier.ENTERPRISE, settings, tenant_known=True)
    assert await read(cast(QueryPort, Rows(known)), [ASKED]) == {ASKED: expected}
