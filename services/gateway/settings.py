"""The gateway's own settings."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AwareDatetime, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.fields import to_utc

ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.ASCII)


class GatewaySettings(BaseSettings):
    """Read from AGENTMESH_GATEWAY_<NAME>. Frozen. Keys, issuer and audience of tokens are `infra.identity.settings.TokenSettings`."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_GATEWAY_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", min_length=1, description="The address on which the API is served.")
    port: int = Field(8080, ge=0, le=65535, description="The port of the API; 0 takes a free one and needs a base URL.")
    base_url: str = Field("", max_length=500, description="What links and locations begin with. Not set: scheme, host and port of the API.")
    tls_certificate_file: Path | None = Field(None, description="The certificate of the API in PEM, its chain after it. Not set: no TLS.")
    tls_key_file: Path | None = Field(None, description="The key of the certificate in PEM, without a password.")
    operator_tenants: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Tenants, separated by commas, whose admins may do what concerns the whole mesh: order the rebuild of a read model. "
        "Not set: in development those of every tenant, elsewhere nobody.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the API, separated by commas; * for every page. Not set: none."
    )
    cors_credentials: bool = Field(False, description="Whether pages of these origins may send cookies and the like along.")
    wait_seconds: float = Field(1.0, ge=0, le=60, description="How long a command is waited for, before 202 is answered.")
    longest_wait_seconds: float = Field(10.0, ge=0, le=60, description="The most that `Prefer: wait=N` may ask for.")
    body_limit_bytes: int = Field(256 * 1024, ge=1024, le=1024 * 1024, description="The largest body that is read.")
    default_agent_kind: str = Field("general", pattern=r"^[a-z][a-z0-9-]{0,39}$", description="The kind of an agent that names none.")
    agents_v1_deprecated_at: AwareDatetime = Field(
        datetime(2026, 12, 1, tzinfo=UTC), description="Since when /api/v2/agents should be used instead of /api/v1/agents."
    )
    agents_v1_sunset_at: AwareDatetime | None = Field(
        None, description="From when on /api/v1/agents may be gone. Not set: no date is told."
    )
    most_headers: int = Field(100, ge=20, le=1_000, description="The most fields of a call's header.")
    header_limit_bytes: int = Field(32 * 1024, ge=16 * 1024, le=1024 * 1024, description="The largest header that is read.")
    header_timeout_seconds: float = Field(20.0, gt=0, le=600, description="How long a header may take to come, of a new connection too.")
    most_connections: int = Field(10_000, ge=1, le=1_000_000, description="Connections that are open at a time; more are refused with 503.")
    request_timeout_seconds: float = Field(30.0, gt=0, le=600, description="How long a call may take, its body included.")
    publish_timeout_seconds: float = Field(5.0, gt=0, le=60, description="How long the broker may take to acknowledge a command.")
    most_in_flight: int = Field(2_000, ge=1, le=100_000, description="Calls that are answered at a time; more are refused with 503.")
    most_waiting_commands: int = Field(1_000, ge=1, le=100_000, description="Commands that may wait for the broker; more get 503.")
    api_key_seconds: float = Field(5.0, ge=0, le=300, description="How long an API key that was right is believed without a look.")
    tenant_limit_seconds: float = Field(10.0, ge=0, le=3_600, description="How long the rate limit of a tenant is kept.")
    retry_after_seconds: int = Field(2, ge=1, le=600, description="When a caller that was told 503 should try again.")
    stream_heartbeat_seconds: float = Field(15.0, gt=0, le=300, description="A stream of events that is silent for so long gets a comment.")
    stream_send_seconds: float = Field(10.0, gt=0, le=300, description="How long a reader of a stream may take to take what it was sent.")
    stream_longest_seconds: float = Field(1_800.0, gt=0, le=86_400, description="How long a stream lasts, before its reader comes again.")
    stream_queue_events: int = Field(1_000, ge=1, le=100_000, description="Events that may wait for a reader; with more it is dropped.")
    stream_poll_ms: float = Field(25.0, ge=1, le=5_000, description="How often the logs are looked at while somebody reads a stream.")
    most_streams: int = Field(2_000, ge=1, le=100_000, description="Streams of events at a time; more are refused with 503.")
    most_streams_per_tenant: int = Field(1_000, ge=1, le=100_000, description="Streams of one tenant at a time; more are refused with 429.")

    @field_validator("cors_origins", "operator_tenants", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("each must be http:// or https://, a host in small letters and no more than a port, as https://desk.example")
        return value

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username):
            raise ValueError("must be a URL that starts with http:// or https://, without user, query and fragment")
        return value.rstrip("/")

    @field_validator("agents_v1_deprecated_at", "agents_v1_sunset_at")
    @classmethod
    def _check_moment(cls, value: datetime | None) -> datetime | None:
        return None if value is None else to_utc(value)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.port == 0 and not self.base_url:
            raise ValueError("AGENTMESH_GATEWAY_BASE_URL must be set where AGENTMESH_GATEWAY_PORT is 0")
        if ANY_ORIGIN in self.cors_origins and self.cors_credentials:
            raise ValueError("AGENTMESH_GATEWAY_CORS_ORIGINS must name each origin where AGENTMESH_GATEWAY_CORS_CREDENTIALS is on")
        if (self.tls_certificate_file is None) is not (self.tls_key_file is None):
            raise ValueError("AGENTMESH_GATEWAY_TLS_CERTIFICATE_FILE and AGENTMESH_GATEWAY_TLS_KEY_FILE must be set together")
        if max(self.wait_seconds, self.longest_wait_seconds) + self.publish_timeout_seconds >= self.request_timeout_seconds:
            raise ValueError("AGENTMESH_GATEWAY_REQUEST_TIMEOUT_SECONDS must be above the longest wait and the publish timeout together")
        return self

    @property
    def url(self) -> str:
        """What links begin with, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.tls_certificate_file is None else "https"
        return self.base_url or f"{scheme}://{host}:{self.port}"
