"""How decisions on requests learn of customers and tenants: which commands need it, what they ask for, what unknown means; given to the
runtime by worker.py."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any, cast

from contracts.message import Command
from contracts.requests.commands import (
    ApproveRequest,
    CompleteRequest,
    CreateRequest,
    RequireApproval,
    ReviewRequest,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.values import RequestStatus
from infra.postgres.base import QueryPort
from infra.runtime.base import ReferenceData
from projections.request_reference.queries import CustomerOfTenant, Known, known
from services.requests.domain import Request
from services.requests.reference import NOTHING_KNOWN, RequestReference

NEEDED_BY: frozenset[type[Command]] = frozenset(
    {TriageRequest, UpdateRequest, RequireApproval, ReviewRequest, ApproveRequest, CompleteRequest}
)


def reference_data(*, tenants_must_exist: bool) -> ReferenceData:
    """The declaration. Creating a request needs to know its tenant only where tenants must exist: else nothing is read for it."""
    needed_by = NEEDED_BY | {CreateRequest} if tenants_must_exist else NEEDED_BY
    return ReferenceData(needed_by, customer_and_tenant, read)


def customer_and_tenant(request: Request | None, command: Command) -> CustomerOfTenant | None:
    """Whose customer it is: told by the request, or by the command that creates it."""
    if request is not None and not _asks_the_policies(request, command):
        return None
    source = request or command
    if isinstance(source, (Request, CreateRequest)):
        return CustomerOfTenant(source.tenant_id, source.customer_id)
    return None  # there is no such request


def _asks_the_policies(request: Request, command: Command) -> bool:
    """What is approved, or needs no approval, ends by the state alone; an approval is judged by what was written when it was asked for."""
    if isinstance(command, CompleteRequest):
        return request.status is RequestStatus.IN_PROGRESS and not request.approval_not_required
    return not isinstance(command, ApproveRequest) or request.status is RequestStatus.PENDING


async def read(database: QueryPort, keys: Collection[Hashable]) -> Mapping[Hashable, Any]:
    """What is known of each customer and its tenant, the defaults where nothing is."""
    found = await known(database, cast(Any, tuple(keys)))
    return {key: _reference(value) for key, value in found.items()}


def _reference(found: Known) -> RequestReference:
    return RequestReference(
        customer_tier=found.tier or NOTHING_KNOWN.customer_tier,
        tenant_settings=found.settings or NOTHING_KNOWN.tenant_settings,
        tenant_known=found.settings is not None,
    )
