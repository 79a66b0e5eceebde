"""Asks a worker whether it has begun its work; part of readiness, so that a worker that still waits for a server is not called ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.health.measured import MeasuredCheck


class NotWorkingYet(Exception):
    """Schema and topics are not verified yet, or the group has not given it its partitions."""


class WorkingCheck(MeasuredCheck):
    """Healthy once the worker consumes (or stands by); no remote call."""

    detail = "time_ms"

    def __init__(self, name: str, working: Callable[[], bool]) -> None:
        super().__init__()
        self.name = name
        self._working = working

    async def look(self) -> dict[str, Any]:
        """Ask the worker."""
        if not self._working():
            raise NotWorkingYet("it has not begun: it waits for a server, for its schema and topics, or for its partitions")
        return {}
