"""The settings of the rate limits."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.rate_limit.base import Limit


class RateLimitSettings(BaseSettings):
    """Read from AGENTMESH_RATE_LIMIT_<NAME>. Frozen. A tenant's own number of requests a minute takes the place of `requests`."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_RATE_LIMIT_", frozen=True, extra="ignore")

    requests: int = Field(100, ge=1, le=1_000_000, description="Requests that a caller may make in one window, and at once.")
    window_seconds: int = Field(60, ge=1, le=86_400, description="The window, over which his requests come back one by one.")
    namespace: str = Field("", max_length=100, pattern=r"^[A-Za-z0-9._:-]*$", description="Put before every key in Redis.")
    max_keys: int = Field(10_000, ge=1, le=10_000_000, description="The most callers that a process counts by itself.")
    operation_seconds: float = Field(0.5, gt=0, le=60, description="How long Redis may take, before the process counts by itself.")
    circuit_failures: int = Field(5, ge=1, le=1_000, description="So many failures in a row, and Redis is left alone for a while.")
    circuit_recovery_seconds: float = Field(60.0, ge=0, le=3_600, description="How long it is left alone.")

    @property
    def limit(self) -> Limit:
        """The limit of a caller for whom nothing else is set."""
        return Limit(self.requests, self.window_seconds)
