"""Tenants and their settings from their read model, and orders about them; the work behind `tenants`."""

from __future__ import annotations

from typing import Any

from contracts.message import Command
from contracts.tenants.commands import ChangeTenantSettings, CreateTenant
from projections.tenants.queries import GetTenant, ListTenants, TenantView, get_tenant, list_tenants
from services.cli import publish
from services.cli.errors import NotFound, WrongUsage
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json
from services.cli.views import print_views

COLUMNS = ("tenant", "name", "threshold", "time limit", "four eyes", "approvers", "requests/min", "created", "version")


async def list_(limit: int, output: Output) -> None:
    """Every tenant, newest first."""
    async with open_mesh() as mesh:
        found = await list_tenants(mesh.database, ListTenants(limit=limit))
    print_views(found, COLUMNS, _cells, output, empty="Nobody created a tenant; each has the default settings.")


async def show(tenant_id: str, output: Output) -> None:
    """One tenant. Raises NotFound."""
    async with open_mesh() as mesh:
        found = await get_tenant(mesh.database, GetTenant(tenant_id=tenant_id))
    if found is None:
        raise NotFound(
            f"Nobody created the tenant {tenant_id!r}: it has the default settings. "
            f"Create it: agentmesh tenants create {tenant_id} --name NAME"
        )
    if output is Output.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        print_facts(dict(found) | {"approvers": _approvers(found)})


async def create(tenant_id: str, name: str, settings: dict[str, Any], *, actor: str | None, timeout: float, output: Output) -> int:
    """Make a tenant known and answer the exit code."""
    return await _order(CreateTenant, tenant_id, {"name": name, "settings": settings or None}, actor, timeout, output)


async def change(tenant_id: str, settings: dict[str, Any], *, actor: str | None, timeout: float, output: Output) -> int:
    """Change some settings and answer the exit code. Raises WrongUsage for none."""
    if not settings:
        raise WrongUsage("Nothing to change: give at least one setting, as agentmesh tenants set --help lists them.")
    return await _order(ChangeTenantSettings, tenant_id, settings, actor, timeout, output)


def given_settings(
    *,
    threshold: str | None,
    currency: str | None,
    hours: int | None,
    four_eyes: bool | None,
    approvers: list[str] | None,
    anybody: bool,
    per_minute: int | None,
) -> dict[str, Any]:
    """The settings that were named on the command line. Raises WrongUsage for what contradicts itself."""
    if currency is not None and threshold is None:
        raise WrongUsage("--currency needs --approval-threshold: an amount is of one currency.")
    if anybody and approvers:
        raise WrongUsage("Give --approver or --no-approvers, not both.")
    amount = None if threshold is None else {"amount": threshold, **({} if currency is None else {"currency": currency})}
    settings = {
        "approval_threshold": amount,
        "approval_time_limit_hours": hours,
        "four_eyes": four_eyes,
        "approvers": [] if anybody else approvers or None,
        "requests_per_minute": per_minute,
    }
    return {name: value for name, value in settings.items() if value is not None}


async def _order(command: type[Command], tenant_id: str, payload: dict[str, Any], actor: str | None, timeout: float, output: Output) -> int:
    return await publish.order(command, payload, tenant=tenant_id, timeout=timeout, output=output, actor=actor)


def _approvers(view: TenantView) -> str:
    return ", ".join(view.approvers) or "everybody who may"


def _cells(view: TenantView) -> list[object]:
    return [
        view.tenant_id, view.name, view.approval_threshold, f"{view.approval_time_limit_hours} h", view.four_eyes, _approvers(view),
        view.requests_per_minute, view.created_at, view.version,
    ]  # fmt: skip
