"""The monitor's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MonitorSettings(BaseSettings):
    """Read from AGENTMESH_MONITOR_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_MONITOR_", frozen=True, extra="ignore")

    interval_seconds: float = Field(5, gt=0, le=30, description="How often the leading monitor looks at the mesh.")
    most_counted: int = Field(
        100_000, ge=1, le=10_000_000, description="Up to how many things that wait or are parked are counted; more are shown as so many."
    )
    topics_seconds: float = Field(30, gt=0, le=3_600, description="How often the monitor looks for kinds of agents that are new.")
    leader_poll_seconds: float = Field(1, gt=0, le=60, description="How often a standby tries to lead.")
