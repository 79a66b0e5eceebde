"""The scheduler's own settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SchedulerSettings(BaseSettings):
    """Read from AGENTMESH_SCHEDULER_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_SCHEDULER_", frozen=True, extra="ignore")

    poll_seconds: float = Field(0.5, gt=0, le=60, description="How often the scheduler looks for what is due.")
    review_seconds: float = Field(
        2, gt=0, le=3_600, description="How often the scheduler looks for open requests whose customer is in another tier now."
    )
    page_size: int = Field(500, ge=1, le=5_000, description="Due commands of a kind that are published at a time.")
    lease_margin_seconds: float = Field(1, ge=0, le=60, description="How long after its lease a run counts as left.")
    repeat_seconds: float = Field(10, gt=0, le=3_600, description="What is still due after this time is published again.")
    leader_poll_seconds: float = Field(1, gt=0, le=60, description="How often a standby tries to lead, and how often the leader looks.")
