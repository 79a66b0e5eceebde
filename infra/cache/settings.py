"""The settings of the cache."""

from __future__ import annotations

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import ConfigurationError

PREFIX = "AGENTMESH_CACHE_"


class CacheSettings(BaseSettings):
    """Read from AGENTMESH_CACHE_<NAME>. Frozen."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    namespace: str = Field(
        "agentmesh",
        pattern=r"^[A-Za-z0-9._-]+$",
        max_length=100,
        description="Put before every key in Redis, so that no pattern of ours reaches what others keep there.",
    )
    max_entries: int = Field(10_000, ge=1, le=10_000_000, description="The most entries that the in-process cache keeps.")
    operation_seconds: float = Field(0.5, gt=0, le=60, description="How long one read or write may take before it counts as failed.")
    invalidation_seconds: float = Field(30.0, gt=0, le=600, description="How long an invalidation by pattern may take.")
    circuit_failures: int = Field(5, ge=1, le=1_000, description="So many failures in a row, and Redis is left alone for a while.")
    circuit_recovery_seconds: float = Field(60.0, ge=0, le=3_600, description="How long it is left alone.")
    probe_seconds: float = Field(1.0, gt=0, le=600, description="How often missed invalidations are tried again.")
    remembered_invalidations: int = Field(
        1_000, ge=1, le=1_000_000, description="Missed invalidations that are kept one by one; beyond, everything is invalidated."
    )
    lease_seconds: float = Field(5.0, gt=0, le=600, description="How long one reader may take to fetch what others then wait for.")
    wait_seconds: float = Field(0.5, ge=0, le=60, description="How long a reader waits for another process before it fetches itself.")
    poll_seconds: float = Field(0.02, gt=0, le=10, description="How often it looks meanwhile.")
    gather_seconds: float = Field(
        0.25, ge=0, le=60, description="After one round of invalidations the events of so long are gathered for the next one."
    )


def load_cache_settings() -> CacheSettings:
    """The settings from the environment. Raises ConfigurationError that names the variable and never the value."""
    try:
        return CacheSettings()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        named = [f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in faults]
        raise ConfigurationError("Invalid settings. " + "; ".join(named)) from None
