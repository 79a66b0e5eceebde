"""The customers worker's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CustomersSettings(BaseSettings):
    """Read from AGENTMESH_CUSTOMERS_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_CUSTOMERS_", frozen=True, extra="ignore")

    cached_aggregates: int = Field(
        5_000, ge=0, le=1_000_000, description="Customers whose state a worker keeps, so that their streams are not loaded again."
    )
