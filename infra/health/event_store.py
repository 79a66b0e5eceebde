"""Asks an event store for its last position; part of readiness."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from infra.health.measured import MeasuredCheck


class Head(Protocol):
    """What the check needs of an event store."""

    async def head(self) -> int:
        """The last position given out."""


class EventStoreHealthCheck(MeasuredCheck):
    """Healthy while the append position is readable in under 100 ms."""

    name = "event_store"
    detail = "query_time_ms"
    degraded_from_ms = 100.0

    def __init__(self, store: Head, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self._store = store

    async def look(self) -> dict[str, Any]:
        """Read the head of the log."""
        details: dict[str, Any] = {"position": await self._store.head()}
        context = getattr(self._store, "context", None)
        return {**details, "context": context} if isinstance(context, str) else details
