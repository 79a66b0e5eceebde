"""The settings of rebuilds by order; read by the worker that carries them out."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RebuildSettings(BaseSettings):
    """Read from AGENTMESH_REBUILD_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_REBUILD_", frozen=True, extra="ignore", env_ignore_empty=True)

    page: int = Field(500, ge=1, le=10_000, description="Events that are in memory at a time; so many hold the projections up at once.")
    share: float = Field(0.5, ge=0.01, le=1, description="Of the time, in how much a rebuild works; it rests for the others.")
    poll_seconds: float = Field(1.0, ge=0.1, le=60, description="How often is looked for orders, and told how far one is.")
