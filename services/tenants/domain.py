"""The state of a tenant and how it follows from its events: state and event in, next state out; pure, run by the worker."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.ids import TenantId
from contracts.money import Money
from contracts.tenants.events import TenantCreated, TenantEvent, TenantSettingsChanged
from contracts.tenants.values import TenantSettings


class Tenant(BaseModel):
    """A tenant as its events made it. Frozen; the settings are those of TenantSettings, checked once when the command came."""

    model_config = ConfigDict(frozen=True)

    tenant_id: TenantId
    name: str
    approval_threshold: Money
    approval_time_limit_hours: int
    four_eyes: bool
    approvers: tuple[str, ...] = ()
    requests_per_minute: int
    created_at: AwareDatetime


class UnexpectedEvent(Exception):
    """The stream holds an event that cannot follow on this state: a defect, never a refusal."""


def evolve(tenant: Tenant | None, event: TenantEvent) -> Tenant:
    """The state after the event. Raises UnexpectedEvent for an event that this code does not know, or that comes out of order."""
    if tenant is None:
        if isinstance(event, TenantCreated):
            return _created(event)
        raise UnexpectedEvent(f"{type(event).__name__} is the first event of its stream")
    if isinstance(event, TenantSettingsChanged):
        changes = ((name, getattr(event, name)) for name in TenantSettings.model_fields)
        return tenant.model_copy(update={name: value for name, value in changes if value is not None})
    raise UnexpectedEvent(f"{type(event).__name__} cannot follow in the stream of a tenant")


def _created(event: TenantCreated) -> Tenant:
    return Tenant(
        tenant_id=event.tenant_id,
        name=event.name,
        approval_threshold=event.approval_threshold,
        approval_time_limit_hours=event.approval_time_limit_hours,
        four_eyes=event.four_eyes,
        approvers=event.approvers,
        requests_per_minute=event.requests_per_minute,
        created_at=event.created_at,
    )
