"""Events of `tenants` in, rows of the table `tenants` out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from contracts.envelope import RecordedEvent
from contracts.money import Money
from contracts.tenants.events import TenantCreated, TenantSettingsChanged
from contracts.tenants.values import TenantSettings
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

TABLE = "tenants"
# How settings are written that are not a column's value themselves.
WRITTEN: Mapping[str, Callable[[Any], bytes]] = {"approval_threshold": Money.to_json, "approvers": to_json}


def tenant_created(recorded: RecordedEvent, event: TenantCreated) -> Sequence[RowChange]:
    """The tenant's row, as it was created."""
    return (
        Insert(
            TABLE,
            {
                "tenant_id": event.tenant_id,
                "name": event.name,
                **_settings(event),
                "created_at": event.created_at,
                "updated_at": event.created_at,
                "version": recorded.sequence,
                "position": recorded.position,
            },
        ),
    )


def tenant_settings_changed(recorded: RecordedEvent, event: TenantSettingsChanged) -> Sequence[RowChange]:
    """The settings that were changed."""
    fixed = {
        "tenant_id": event.tenant_id,
        "updated_at": event.changed_at,
        "version": recorded.sequence,
        "position": recorded.position,
    }
    return (Change(TABLE, {**fixed, **_settings(event)}),)


def _settings(event: TenantCreated | TenantSettingsChanged) -> Mapping[str, Any]:
    """The settings that the event holds, as columns."""
    held = ((name, getattr(event, name)) for name in TenantSettings.model_fields)
    return {name: WRITTEN[name](value) if name in WRITTEN else value for name, value in held if value is not None}


TENANTS = ReadModel(
    name="tenants",
    version=1,
    contexts=("tenants",),
    package="projections.tenants",
    tables=(
        Table(
            TABLE,
            key=("tenant_id",),
            columns={
                "tenant_id": "text",
                "name": "text",
                "approval_threshold": "jsonb",
                "approval_time_limit_hours": "integer",
                "four_eyes": "boolean",
                "approvers": "jsonb",
                "requests_per_minute": "integer",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
                "version": "bigint",
                "position": "bigint",
            },
        ),
    ),
    project={TenantCreated: tenant_created, TenantSettingsChanged: tenant_settings_changed},
)
