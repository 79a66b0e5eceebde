"""Checks of the services outside that are configured: do they answer and know our key. Nothing is asked that costs or changes something."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping

import httpx2
from pydantic import SecretStr

from infra.settings import MeshSettings
from services.cli.doctor.findings import Finding, Verdict, well

SECONDS = 4.0
REFUSED = (401, 403)


async def outside(settings: MeshSettings) -> list[Finding]:
    """The endpoints that are set; an empty list where none is."""
    questions = []
    if settings.model_url is not None:
        questions.append(_ask("models", f"{settings.model_url}/models", settings.model_key, "AGENTMESH_MODEL_KEY"))
    if settings.model_fallback_url is not None:
        key = settings.model_fallback_key or settings.model_key
        questions.append(_ask("fallback models", f"{settings.model_fallback_url}/models", key, "AGENTMESH_MODEL_FALLBACK_KEY"))
    if settings.payments_url is not None:
        # What nobody has paid: a service that knows us answers 404.
        url = f"{settings.payments_url}/refunds/doctor-{uuid.uuid4()}"
        questions.append(_ask("payments", url, settings.payments_token, "AGENTMESH_PAYMENTS_TOKEN"))
    return list(await asyncio.gather(*questions))


async def _ask(what: str, url: str, key: SecretStr | None, variable: str) -> Finding:
    headers: Mapping[str, str] = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    try:
        async with asyncio.timeout(SECONDS), httpx2.AsyncClient(timeout=SECONDS) as client:
            answer = await client.get(url, headers=headers)
    except (httpx2.HTTPError, OSError) as error:
        host = httpx2.URL(url).host
        found = f"{host} is not reached: {type(error).__name__}"
        return Finding(
            what, Verdict.FAIL, found, "check the URL and the network; runs wait for AGENTMESH_OUTAGE_PATIENCE_SECONDS, then fail"
        )
    return judge_answer(what, answer.status_code, has_key=key is not None, variable=variable)


def judge_answer(what: str, status: int, *, has_key: bool, variable: str) -> Finding:
    """What a status tells about the key that was shown."""
    if status in REFUSED:
        found = f"the key is refused ({status})" if has_key else f"a key is wanted ({status}), and none is set"
        return Finding(what, Verdict.FAIL, found, f"set {variable}")
    if status >= 500 or status == 429:
        return Finding(what, Verdict.WARN, f"answers {status}", "see how that service is, then ask again")
    return well(what, f"answers ({status}); the key is taken" if has_key else f"answers ({status})")
