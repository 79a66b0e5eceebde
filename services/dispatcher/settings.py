"""The dispatcher's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DispatcherSettings(BaseSettings):
    """Read from AGENTMESH_DISPATCHER_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_DISPATCHER_", frozen=True, extra="ignore")

    ageing_seconds: float = Field(60, gt=0, le=86_400, description="A waiting task gains a step of priority for each such time.")
    answer_seconds: float = Field(30, gt=0, le=3_600, description="An assignment that nothing was heard of for so long is made again.")
    refusal_pause_seconds: float = Field(1, gt=0, le=60, description="A refused assignment is not tried again before this time.")
    page_size: int = Field(2_000, ge=1, le=5_000, description="Log entries that are read at a time.")
    most_at_once: int = Field(1_000, ge=1, le=5_000, description="Assignments that are published as one page.")
    idle_poll_ms: float = Field(5, ge=1, le=5_000, description="Wait before logs that were read to their end are read again.")
    longest_idle_poll_ms: float = Field(25, ge=1, le=5_000, description="What that wait grows to while nothing comes.")
    leader_poll_seconds: float = Field(1, gt=0, le=60, description="How often a standby tries to lead, and how often the leader looks.")
