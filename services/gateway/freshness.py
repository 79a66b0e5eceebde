"""Reads that are to be at least as new as a position (`min_position`): a call's query in, a bounded wait, and headers that say how new the
answer is out; every GET of a read model has it."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request, Response

from infra.positions.base import Followed, Positions
from services.gateway.errors import ApiError, broken_rule
from services.gateway.orders import applied_preference, waiting_time
from services.gateway.parameters import Prefer
from services.gateway.settings import GatewaySettings

POSITION_HEADER = "AgentMesh-Position"
STALE_HEADER = "AgentMesh-Stale"
FOUND = "agentmesh.freshness"
MAX_CHARACTERS = 200
RULE = "Should be context:position, or several of them separated by commas, each context once"
_POSITION = re.compile(r"([a-z][a-z0-9_-]{0,39}):(0|[1-9][0-9]{0,17})", re.ASCII)
FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "requests": ("requests",),
    "approvals": ("requests",),
    "timeline": ("requests", "tasks"),
    "analytics": ("requests", "tasks"),
    "tasks": ("tasks",),
    "agents": ("agents",),
    "customers": ("customers",),
    "tenants": ("tenants",),
}
"""Which contexts each read model follows, as its definition says."""
HEADERS: Mapping[str, Any] = {
    POSITION_HEADER: {
        "description": "With `min_position`: how far the read model was before it was read, as `context:position`.",
        "schema": {"type": "string"},
    },
    STALE_HEADER: {
        "description": "`true` where `min_position` was not reached within the wait: the answer may be older. Else absent.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
MinPosition = Annotated[
    str | None,
    Query(
        max_length=MAX_CHARACTERS,
        description="`context:position`, several separated by commas: waits until this is shown (1 s, or `Prefer: wait=N`). Where "
        "it does not in time, the answer is what there is, with `AgentMesh-Stale: true`.",
        examples=["requests:4711"],
    ),
]
Handler = Callable[..., Awaitable[Response]]


def positions_of(text: str) -> dict[str, int]:
    """The positions of a query, by context. Raises ApiError, 422."""
    found: dict[str, int] = {}
    for part in text.split(","):
        matched = _POSITION.fullmatch(part.strip())
        if matched is None or matched[1] in found:
            raise broken_rule("min_position", RULE, text, where="query")
        found[matched[1]] = int(matched[2])
    return found


@dataclass(frozen=True, slots=True)
class Freshness:
    """What one route waits for: its read models, and the aggregate of its path, of this context, where it shows one."""

    positions: Positions
    settings: GatewaySettings
    read_models: tuple[str, ...]
    context: str = ""
    id_field: str = ""

    async def wait(self, request: Request, min_position: MinPosition = None, prefer: Prefer = None) -> None:
        """Wait, at most as long as the call wants, and keep for `told` what came of it. Raises ApiError, 422; TransientError."""
        if min_position is None:
            return
        wanted = positions_of(min_position)
        known = {context for model in self.read_models for context in FOLLOWS[model]}
        for context in wanted:
            if context not in known:
                raise broken_rule("min_position", f"Contexts here: {', '.join(sorted(known))}", context, where="query")
        seconds = waiting_time(prefer, self.settings)
        deadline = time.monotonic() + seconds
        reached = {context: await self._reach(request, context, position, deadline) for context, position in wanted.items()}
        headers = {POSITION_HEADER: ", ".join(f"{context}:{position}" for context, position in reached.items())}
        headers |= applied_preference(prefer, seconds)
        if any(reached[context] < position for context, position in wanted.items()):
            headers[STALE_HEADER] = "true"
        request.scope[FOUND] = headers

    async def _reach(self, request: Request, context: str, position: int, deadline: float) -> int:
        one = request.path_params.get(self.id_field) if context == self.context else None
        models = [model for model in self.read_models if context in FOLLOWS[model]]
        return min([await self.positions.reach(Followed(model, context), position, one, deadline) for model in models])


def told(handler: Handler) -> Handler:
    """The handler, whose answers, a 404 too, say how new what they show is."""

    @functools.wraps(handler)
    async def answered(*arguments: Any, **named: Any) -> Response:
        headers: Mapping[str, str] = named["request"].scope.get(FOUND, {})
        try:
            response = await handler(*arguments, **named)
        except ApiError as error:
            error.headers = {**error.headers, **headers}
            raise
        response.headers.update(headers)
        return response

    return answered
