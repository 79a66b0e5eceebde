"""The dispatcher's own settings."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
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

    silence_seconds: float = Field(15, gt=0, le=3_600, description="A host that says nothing for so long is not live.")
    probe_seconds: float = Field(1, gt=0, le=60, description="How often the leader makes sure that it would hear the hosts.")
    gap_seconds: float = Field(5, gt=0, le=600, description="Without an own probe for so long nothing is judged, then leases start anew.")
    grace_seconds: float = Field(60, gt=0, le=86_400, description="How long a kind may be without a host that never had one.")
    forget_seconds: float = Field(3_600, gt=0, le=864_000, description="The record of a host is deleted after this silence.")
    health_poll_seconds: float = Field(1, gt=0, le=60, description="How often the health of agents is looked at.")
    verdicts_at_once: int = Field(500, ge=1, le=5_000, description="Findings about health that may be unanswered at a time.")
    lost_leases: int = Field(3, ge=1, le=100, description="So many expired leases in a row make an agent unhealthy.")
    failure_pause_seconds: float = Field(60, ge=0, le=86_400, description="How long such an agent rests before it may recover.")

    @model_validator(mode="after")
    def _a_pause_is_noticed_before_it_passes_for_silence(self) -> Self:
        if not self.probe_seconds * 2 <= self.gap_seconds < self.silence_seconds:
            raise ValueError("gap_seconds should be at least twice probe_seconds and below silence_seconds")
        return self
