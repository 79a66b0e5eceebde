"""The commands of the tenants context: orders of those who run the mesh and of a tenant's administrators."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from contracts.message import Command
from contracts.tenants.values import (
    ApprovalThreshold,
    ApprovalTimeLimit,
    Approvers,
    FourEyes,
    RequestsPerMinute,
    TenantName,
    TenantSettings,
)


class TenantCommand(Command):
    """What every command about a tenant has; the tenant is the aggregate."""

    context: ClassVar[str] = "tenants"
    aggregate_field: ClassVar[str] = "tenant_id"


class CreateTenant(TenantCommand):
    """Make a tenant known. Creating it again with the same fields changes nothing; with others it is refused."""

    type_name: ClassVar[str] = "agentmesh.tenants.CreateTenant.v1"

    name: TenantName
    settings: TenantSettings = Field(default_factory=TenantSettings)


class ChangeTenantSettings(TenantCommand):
    """Change some of the tenant's settings. What is absent or null stays as it is."""

    type_name: ClassVar[str] = "agentmesh.tenants.ChangeTenantSettings.v1"

    approval_threshold: ApprovalThreshold | None = None
    approval_time_limit_hours: ApprovalTimeLimit | None = None
    four_eyes: FourEyes | None = None
    approvers: Approvers | None = None
    requests_per_minute: RequestsPerMinute | None = None

    def given(self) -> dict[str, Any]:
        """The settings to change, by name."""
        values = ((name, getattr(self, name)) for name in TenantSettings.model_fields)
        return {name: value for name, value in values if value is not None}

    def to_json(self) -> bytes:
        """Only the given fields: a change says what it changes and nothing else."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.given():
            names = ", ".join(TenantSettings.model_fields)
            raise PydanticCustomError(
                "nothing_to_change", "At least one of {names} should be given", {"names": names, "field": "approval_threshold"}
            )
        return self


COMMANDS: tuple[type[TenantCommand], ...] = (CreateTenant, ChangeTenantSettings)
