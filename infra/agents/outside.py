"""What the runs of one agent host reach beyond the mesh: the model and the payment service; connected by the host, scripted in tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from infra.models.base import LanguageModel
from infra.partial_outputs.base import PartialOutputs
from infra.payments.base import Payments
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    import httpx2


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Outside:
    """None where nothing is configured: agents then work by rules, and staff carries out what would be paid."""

    model: LanguageModel | None = None
    payments: Payments | None = None
    partial_outputs: PartialOutputs | None = None
    close: Callable[[], Awaitable[None]] = _nothing
    """Ends the connections."""


NOTHING_OUTSIDE: Final = Outside()


def connected(settings: MeshSettings, telemetry: Telemetry, owner: str) -> Outside:
    """What the settings name, over one HTTP client with its pool of connections; nothing is asked yet. `owner` names the circuits."""
    if settings.model_url is None and settings.payments_url is None:
        return NOTHING_OUTSIDE
    # Imported where it is needed: a fleet that works by rules saves 70 MB a process.
    import httpx2

    client = httpx2.AsyncClient()
    partial_outputs = _partial_outputs(settings, telemetry, owner)

    async def close() -> None:
        await client.aclose()
        if partial_outputs is not None:
            await partial_outputs.close()

    return Outside(_model(settings, telemetry, client, owner), _payments(settings, telemetry, client, owner), partial_outputs, close)


def _partial_outputs(settings: MeshSettings, telemetry: Telemetry, owner: str) -> PartialOutputs | None:
    if settings.model_url is None or not settings.model_partial_output:
        return None
    from infra.partial_outputs.redis import RedisPartialOutputs
    from infra.redis.pool import RedisPool
    from infra.redis.settings import RedisPoolSettings

    pool = RedisPool(settings.redis_dsn, RedisPoolSettings())
    telemetry.metrics.show_pool(f"agents.{owner}.redis", pool.connections)
    return RedisPartialOutputs(pool, settings.topic_prefix)


def _model(settings: MeshSettings, telemetry: Telemetry, client: httpx2.AsyncClient, owner: str) -> LanguageModel | None:
    from infra.models.settings import model_endpoint

    endpoint = model_endpoint(settings)
    if endpoint is None:
        return None
    from infra.models.openai_compatible import OpenAICompatibleModel

    return OpenAICompatibleModel(endpoint, telemetry, client, owner)


def _payments(settings: MeshSettings, telemetry: Telemetry, client: httpx2.AsyncClient, owner: str) -> Payments | None:
    if settings.payments_url is None:
        return None
    from infra.payments.http import HttpPayments

    return HttpPayments(
        settings.payments_url,
        settings.payments_token,
        settings.payments_timeout_seconds,
        telemetry.metrics,
        client,
        owner,
        settings.outage_patience_seconds,
    )
