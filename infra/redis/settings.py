"""The limits of a worker's Redis pool (PER-04)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RedisPoolSettings(BaseSettings):
    """Read from AGENTMESH_REDIS_<NAME>. Frozen. The address is REDIS_URL of the mesh's settings."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_REDIS_", frozen=True, extra="ignore")

    max_connections: int = Field(50, ge=1, le=10_000, description="The most connections to Redis that a worker opens.")
    acquire_seconds: float = Field(5.0, gt=0, le=600, description="How long to wait for a free connection.")
    connect_seconds: float = Field(5.0, gt=0, le=600, description="How long a connection may take to come about.")
    health_check_seconds: int = Field(30, ge=1, le=3_600, description="A connection idle for so long is asked for a sign of life first.")
