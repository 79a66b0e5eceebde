"""The settings of a foreign issuer of tokens, off by default; read by the gateway, which gets its verifier and its keys from here."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from infra.errors import ConfigurationError
from infra.identity.foreign import ForeignTokens
from infra.identity.jwks import HttpKeySet, RemoteKeys

PREFIX = "AGENTMESH_GATEWAY_FOREIGN_"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ForeignIssuerSettings(BaseSettings):
    """Read from AGENTMESH_GATEWAY_FOREIGN_<NAME>. Frozen. Issuer, audience, URL and algorithms are set together or not at all."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    issuer: str | None = Field(None, max_length=500, description="Who issues the foreign tokens (`iss`, letter by letter). Not set: none.")
    audience: str | None = Field(None, max_length=500, description="Whom they are for (`aud`).")
    jwks_url: str | None = Field(None, max_length=2_000, description="Where the issuer's public keys are (RFC 7517).")
    algorithms: Annotated[tuple[Literal["RS256", "PS256", "ES256", "EdDSA"], ...], NoDecode] = Field(
        (), description="What the issuer signs with, separated by commas: RS256, PS256, ES256, EdDSA; nothing else is accepted."
    )
    refresh_seconds: float = Field(300.0, ge=1, le=86_400, description="The keys are fetched again after this time.")
    pause_seconds: float = Field(10.0, ge=0.1, le=3_600, description="The least time between two fetches, whatever comes.")
    timeout_seconds: float = Field(5.0, gt=0, le=60, description="How long one fetch may take.")

    @field_validator("algorithms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("jwks_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _is_safe(value):
            raise ValueError("must be a URL that starts with https:// (http:// on this machine only), without user and fragment")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        there = [bool(each) for each in (self.issuer, self.audience, self.jwks_url, self.algorithms)]
        if any(there) and not all(there):
            names = " and ".join((f"{PREFIX}ISSUER, {PREFIX}AUDIENCE, {PREFIX}JWKS_URL", f"{PREFIX}ALGORITHMS"))
            raise ValueError(f"{names} are set together or not at all")
        if self.pause_seconds > self.refresh_seconds:
            raise ValueError(f"{PREFIX}PAUSE_SECONDS must not be above {PREFIX}REFRESH_SECONDS")
        return self


def _is_safe(url: str) -> bool:
    """Whether nobody on the way can put keys of his own into the answer."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool((plain or parts.scheme == "https") and parts.hostname and port != 0 and not parts.username and not parts.fragment)


class ForeignIssuer(NamedTuple):
    """The verifier of a foreign issuer's tokens, its keys, which are started and closed, and what fetches them."""

    name: str
    tokens: ForeignTokens
    keys: RemoteKeys
    source: HttpKeySet

    async def close(self) -> None:
        """Fetch no more, and close the connections."""
        await self.keys.close()
        await self.source.close()


def foreign_issuer(settings: ForeignIssuerSettings, own_issuer: str) -> ForeignIssuer | None:
    """The foreign issuer of these settings, or None where it is off. Raises ConfigurationError when it is ours: an issuer whose tokens
    are verified by our key is never verified by a public one, too."""
    if settings.issuer is None or settings.audience is None or settings.jwks_url is None:
        return None
    if settings.issuer == own_issuer:
        raise ConfigurationError(f"{PREFIX}ISSUER is AGENTMESH_GATEWAY_ISSUER: a foreign issuer needs a name of its own.")
    source = HttpKeySet(settings.jwks_url, settings.timeout_seconds)
    keys = RemoteKeys(source.fetch, settings.algorithms, refresh_seconds=settings.refresh_seconds, pause_seconds=settings.pause_seconds)
    tokens = ForeignTokens(keys, issuer=settings.issuer, audience=settings.audience, algorithms=settings.algorithms)
    return ForeignIssuer(settings.issuer, tokens, keys, source)
