"""The requests worker's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RequestsSettings(BaseSettings):
    """Read from AGENTMESH_REQUESTS_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_REQUESTS_", frozen=True, extra="ignore")

    cached_aggregates: int = Field(
        5_000, ge=0, le=1_000_000, description="Requests whose state a worker keeps, so that their streams are not loaded again."
    )
    tenants_must_exist: bool = Field(False, description="Refuse requests of tenants that nobody has created.")
