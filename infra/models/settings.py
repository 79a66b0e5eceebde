"""What one endpoint of models is set to, and what the settings of the process say of it; read by agent hosts."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr

from infra.settings import MeshSettings


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """One model at one endpoint. The key shows as `**********`."""

    url: str
    name: str
    key: SecretStr = field(default=SecretStr(""))
    request_limit: int = 10
    input_tokens_limit: int = 200_000
    output_tokens_limit: int = 20_000
    timeout_seconds: float = 60.0
    concurrency: int = 20
    longest_asked_seconds: float = 30.0
    """A Retry-After beyond this is not waited for within a request, but only with patience."""
    patience_seconds: float = 0.0
    """How long a question waits for a model that is away, once the tries of a request are spent; 0: not at all."""
    fallback: ModelEndpoint | None = None


def model_endpoint(settings: MeshSettings) -> ModelEndpoint | None:
    """The endpoint that the settings name; None while the agents work by rules."""
    if settings.model_url is None or settings.model_name is None:
        return None
    fallback = None
    if settings.model_fallback_name is not None:
        fallback = _endpoint(
            settings, settings.model_fallback_url or settings.model_url, settings.model_fallback_name,
            settings.model_fallback_key or settings.model_key, None,
        )  # fmt: skip
    return _endpoint(settings, settings.model_url, settings.model_name, settings.model_key, fallback)


def _endpoint(settings: MeshSettings, url: str, name: str, key: SecretStr | None, fallback: ModelEndpoint | None) -> ModelEndpoint:
    return ModelEndpoint(
        url=url,
        name=name,
        key=key or SecretStr(""),
        request_limit=settings.model_request_limit,
        input_tokens_limit=settings.model_input_tokens_limit,
        output_tokens_limit=settings.model_output_tokens_limit,
        timeout_seconds=settings.model_timeout_seconds,
        concurrency=settings.model_concurrency,
        patience_seconds=settings.outage_patience_seconds,
        fallback=fallback,
    )
