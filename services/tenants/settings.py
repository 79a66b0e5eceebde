"""The tenants worker's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TenantsSettings(BaseSettings):
    """Read from AGENTMESH_TENANTS_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_TENANTS_", frozen=True, extra="ignore")

    cached_aggregates: int = Field(
        1_000, ge=0, le=1_000_000, description="Tenants whose state a worker keeps, so that their streams are not loaded again."
    )
