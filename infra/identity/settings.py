"""The settings of tokens: the signing key, older keys that still verify, issuer and audience; read by whoever issues or verifies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from infra.errors import ConfigurationError
from infra.identity.tokens import LEAST_KEY_BYTES, TokenIssuer

KEY = "JWT_SECRET_KEY"
KEY_FILE = "JWT_SECRET_KEY_FILE"
PREVIOUS_KEYS = "JWT_PREVIOUS_SECRET_KEYS"


class TokenSettings(BaseSettings):
    """Read from the variables that its fields name. Frozen; keys show as `**********`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True, hide_input_in_errors=True, validate_default=True
    )

    secret_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices(KEY), description="The key that signs tokens, at least 32 bytes in UTF-8."
    )
    secret_key_file: Path | None = Field(
        None, validation_alias=AliasChoices(KEY_FILE), description="A file that holds the key; read where the key itself is not set."
    )
    previous_secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        validation_alias=AliasChoices(PREVIOUS_KEYS),
        description="Older keys, separated by commas, that still verify but sign no more; drop one when its last token has expired.",
    )
    issuer: str = Field(
        "agentmesh", min_length=1, validation_alias=AliasChoices("AGENTMESH_GATEWAY_ISSUER"), description="Who issues the tokens (`iss`)."
    )
    audience: str = Field(
        "agentmesh-api",
        min_length=1,
        validation_alias=AliasChoices("AGENTMESH_GATEWAY_AUDIENCE"),
        description="Whom the tokens are for (`aud`).",
    )

    @field_validator("previous_secret_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def load_token_settings(key_file: str | None = None) -> TokenSettings:
    """The settings of this process, with the key in `key_file` where one is given. Raises ConfigurationError that names the variable,
    never the value."""
    try:
        return TokenSettings() if key_file is None else TokenSettings(secret_key_file=Path(key_file))
    except ValidationError as error:
        faults = [f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors(include_url=False, include_input=False)]
        raise ConfigurationError("Invalid settings. " + "; ".join(faults)) from None


def token_issuer(settings: TokenSettings) -> TokenIssuer:
    """What issues and verifies tokens by these settings. Raises ConfigurationError when a key is missing or too short."""
    key = _long_enough(_current_key(settings), KEY)
    previous = [_long_enough(old.get_secret_value(), PREVIOUS_KEYS) for old in settings.previous_secret_keys]
    return TokenIssuer(key, issuer=settings.issuer, audience=settings.audience, previous_keys=previous)


def _current_key(settings: TokenSettings) -> str:
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    if settings.secret_key_file is None:
        raise ConfigurationError(f"{KEY} is not set: set it, or {KEY_FILE}, to a random text of at least {LEAST_KEY_BYTES} bytes.")
    try:
        return settings.secret_key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"The file that {KEY_FILE} names cannot be read ({reason}).") from None


def _long_enough(key: str, variable: str) -> str:
    size = len(key.encode())
    if size < LEAST_KEY_BYTES:
        raise ConfigurationError(f"A key in {variable} has {size} bytes: it needs at least {LEAST_KEY_BYTES}, from a random generator.")
    return key
