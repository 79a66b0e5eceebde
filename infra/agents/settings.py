"""The settings of agent hosts."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AgentHostSettings(BaseSettings):
    """Read from AGENTMESH_AGENT_HOST_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_AGENT_HOST_", frozen=True, extra="ignore")

    lease_seconds: float = Field(30, ge=0.5, le=3_600, description="Of a host that died, runs move after this time.")
    most_runs: int = Field(200, ge=1, le=10_000, description="Runs that a host holds at a time; with more it takes nothing new.")
    heartbeat_seconds: float = Field(3, ge=0.1, le=60, description="How often a host says on the fleet topic that it is alive.")
