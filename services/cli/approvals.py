"""Approvals from their read model, and the decisions of people; the work behind `approvals`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contracts.requests.commands import (
    ApproveRequest,
    DelegateApproval,
    GiveInformation,
    RejectRequest,
    RequestCommand,
    RequestInformation,
)
from contracts.requests.values import Priority
from projections.approvals.queries import ApprovalStatus, ApprovalView, GetApproval, ListApprovals, get_approval, list_approvals
from services.cli import publish
from services.cli.errors import NotFound
from services.cli.exit_codes import FAILED
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json, tell
from services.cli.timeline import duration
from services.cli.views import check_choice, print_views

ALL = "all"
COLUMNS = ("request", "status", "waited", "why", "amount", "customer", "tier", "who decides", "expires")
ORDERS: Mapping[str, type[RequestCommand]] = {
    "approve": ApproveRequest,
    "reject": RejectRequest,
    "delegate": DelegateApproval,
    "ask": RequestInformation,
    "answer": GiveInformation,
}
EVERYBODY = "everybody who may"


async def list_(tenant: str, status: str, customer: str | None, delegate: str | None, limit: int, output: Output) -> None:
    """A tenant's approvals, newest first. Raises WrongUsage for a status that does not exist."""
    check_choice("status", status, (*ApprovalStatus, ALL))
    wanted = None if status == ALL else ApprovalStatus(status)
    query = ListApprovals(tenant_id=tenant, status=wanted, customer_id=customer, delegated_to=delegate, limit=limit)
    async with open_mesh() as mesh:
        found = await list_approvals(mesh.database, query)
    kind = "" if wanted is None else f" that is {status}"
    print_views(found, COLUMNS, _cells, output, empty=f"Tenant {tenant} has no approval{kind}.")


async def show(tenant: str, request_id: str, output: Output) -> None:
    """What one request is asked about, and what became of it. Raises NotFound."""
    async with open_mesh() as mesh:
        found = await get_approval(mesh.database, GetApproval(tenant_id=tenant, request_id=request_id))
    if found is None:
        raise NotFound(
            f"Tenant {tenant} was not asked about a request {request_id!r}. How it stands: agentmesh requests show {request_id}. "
            "Another tenant: --tenant NAME."
        )
    if output is Output.JSON:
        print_json(found.model_dump(mode="json"))
        return
    facts = dict(found) | {
        "priority": Priority(found.priority).name.lower(),
        "reasons": ", ".join(found.reasons),
        "escalation_reasons": ", ".join(found.escalation_reasons) or None,
        "approvers": ", ".join(found.approvers) or EVERYBODY,
        "findings": json.dumps(found.findings, ensure_ascii=False) if found.findings else None,
        "waited_seconds": f"{found.waited_seconds:.3f}",
    }
    print_facts(facts)
    if found.status is ApprovalStatus.WAITING:
        print(f"\ndecide with: agentmesh approvals approve {request_id}{_amount(found)} | approvals reject {request_id} --reason TEXT")


async def order(verb: str, request_id: str, *, actor: str | None, tenant: str, timeout: float, output: Output, **fields: Any) -> int:
    """Publish one decision in the actor's name and answer the exit code; after a refusal it says where to look."""
    payload = {"request_id": request_id, **fields}
    code = await publish.order(ORDERS[verb], payload, tenant=tenant, timeout=timeout, output=output, actor=actor)
    if code == FAILED:
        tell(f"how it stands: agentmesh requests show {request_id}; who decides: agentmesh approvals show {request_id}")
    return code


def _amount(view: ApprovalView) -> str:
    """The options that name what is looked at, so that nothing else is approved."""
    impact = view.financial_impact
    return "" if impact is None else f" --amount {impact.amount:f} --currency {impact.currency}"


def _deciders(view: ApprovalView) -> str:
    """The delegate while the delegation binds, else whom the tenant names."""
    if view.delegated_to is not None and view.escalated_at is None:
        return view.delegated_to
    return ", ".join(view.approvers) or EVERYBODY


def _cells(view: ApprovalView) -> list[object]:
    why = ", ".join(view.reasons)
    return [
        view.request_id, view.status.value, duration(view.waited_seconds), why, view.financial_impact, view.customer_id,
        view.customer_tier, _deciders(view), view.expires_at,
    ]  # fmt: skip
