"""The decisions of the tenants context: state, command and context in, events or a refusal out; pure, run by the command worker."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.message import Command
from contracts.tenants.commands import ChangeTenantSettings, CreateTenant
from contracts.tenants.events import TenantCreated, TenantEvent, TenantSettingsChanged
from infra.runtime.base import Decide, DecisionContext
from services.tenants.domain import Tenant

Events = tuple[TenantEvent, ...]

TENANT_MUST_NOT_EXIST = "tenant_must_not_exist"


def create_tenant(tenant: Tenant | None, command: CreateTenant, context: DecisionContext) -> Events:
    """Make the tenant known. An id is used once; the same creation again changes nothing."""
    wanted = {"name": command.name, **dict(command.settings)}
    if tenant is not None:
        if all(getattr(tenant, name) == value for name, value in wanted.items()):
            return ()
        raise BusinessRuleViolation("A tenant with this id exists already.", rule=TENANT_MUST_NOT_EXIST)
    return (TenantCreated(tenant_id=command.tenant_id, created_at=context.now, **wanted),)


def change_tenant_settings(tenant: Tenant | None, command: ChangeTenantSettings, context: DecisionContext) -> Events:
    """Change the given settings; only what differs is recorded, and nothing when nothing differs."""
    if tenant is None:
        raise ResourceNotFound("Tenant", command.tenant_id)
    changes = {name: value for name, value in command.given().items() if value != getattr(tenant, name)}
    if not changes:
        return ()
    return (TenantSettingsChanged(tenant_id=tenant.tenant_id, changed_at=context.now, **changes),)


DECISIONS: Mapping[type[Command], Decide] = {CreateTenant: create_tenant, ChangeTenantSettings: change_tenant_settings}
