"""The events of the tenants context: facts, stored and published in the same class; no event of this context is private."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime

from contracts.message import Event
from contracts.money import Money


class TenantEvent(Event):
    """What every event about a tenant has; the tenant is the aggregate."""

    context: ClassVar[str] = "tenants"
    aggregate_field: ClassVar[str] = "tenant_id"


class TenantCreated(TenantEvent):
    """A tenant is known. Holds every setting, so that a later change of a default leaves its tenants as they are."""

    type_name: ClassVar[str] = "agentmesh.tenants.TenantCreated.v1"

    name: str
    approval_threshold: Money
    approval_time_limit_hours: int
    four_eyes: bool
    approvers: tuple[str, ...] = ()
    requests_per_minute: int
    created_at: AwareDatetime


class TenantSettingsChanged(TenantEvent):
    """Some settings changed. Only the changed ones are there."""

    type_name: ClassVar[str] = "agentmesh.tenants.TenantSettingsChanged.v1"

    approval_threshold: Money | None = None
    approval_time_limit_hours: int | None = None
    four_eyes: bool | None = None
    approvers: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    changed_at: AwareDatetime

    def to_json(self) -> bytes:
        """Only the changed fields are written."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)


EVENTS: tuple[type[TenantEvent], ...] = (TenantCreated, TenantSettingsChanged)
