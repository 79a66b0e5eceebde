"""Which deadlines have come and which runs were left, by the database's clock; asked by the scheduler."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from infra.postgres.base import QueryPort

DUE = b"""
SELECT d.stream_id, d.tenant_id, d.attempt, d.due_at FROM read_deadlines.deadlines d
WHERE d.status = 'open' AND d.due_at <= clock_timestamp() ORDER BY d.due_at LIMIT %(limit)s
"""
# A run whose lease is over while its task still waits for it: whoever held it is dead or frozen.
LEFT = b"""
SELECT d.stream_id, d.tenant_id, d.attempt, d.due_at FROM mesh.task_runs r
JOIN read_deadlines.deadlines d ON d.stream_id = r.task_id AND d.name = 'task' AND d.attempt = r.attempt AND d.status = 'open'
WHERE r.finished_at IS NULL AND r.lease_until < clock_timestamp() - make_interval(secs => %(margin)s) ORDER BY r.lease_until LIMIT %(limit)s
"""


class OpenTask(NamedTuple):
    """An attempt that is assigned, and its deadline."""

    task_id: str
    tenant_id: str
    attempt: int
    due_at: datetime


async def due_tasks(database: QueryPort, limit: int) -> list[OpenTask]:
    """Attempts whose deadline has come, earliest first."""
    return [OpenTask(*row) for row in await database.fetch(DUE, {"limit": limit})]


async def left_runs(database: QueryPort, limit: int, margin_seconds: float) -> list[OpenTask]:
    """Attempts whose host let its lease run out at least `margin_seconds` ago, longest first."""
    return [OpenTask(*row) for row in await database.fetch(LEFT, {"limit": limit, "margin": margin_seconds})]
