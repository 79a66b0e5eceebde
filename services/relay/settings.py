"""The relay's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RelaySettings(BaseSettings):
    """Read from AGENTMESH_RELAY_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_RELAY_", frozen=True, extra="ignore")

    page_size: int = Field(2_000, ge=1, le=5_000, description="Log entries that are published and acknowledged as one page.")
    idle_poll_ms: float = Field(5, ge=1, le=5_000, description="Wait before the log is read again after it was found read to its end.")
    longest_idle_poll_ms: float = Field(25, ge=1, le=5_000, description="What that wait grows to while nothing comes.")
    leader_poll_seconds: float = Field(1.0, gt=0, le=60, description="How often a standby relay tries to become the leader.")
