"""Which deadlines have come and which runs were left, by the database's clock; asked by the scheduler."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from infra.postgres.base import QueryPort

TASK = "task"
REMINDER, ESCALATION, EXPIRY = "approval-reminder", "approval-escalation", "approval-expiry"
"""The names of deadlines. They are part of the ids of due commands: they never change."""

# So many of each name, so that one kind of deadline that nobody closes holds no other kind up.
DUE = b"""
SELECT d.stream_id, d.name, d.tenant_id, d.due_at FROM unnest(%(names)s::text[]) AS n (name)
CROSS JOIN LATERAL (
    SELECT stream_id, name, tenant_id, due_at FROM read_deadlines.deadlines
    WHERE name = n.name AND status = 'open' AND due_at <= clock_timestamp() ORDER BY due_at LIMIT %(limit)s
) d
"""
# A run whose lease is over while its task still waits for it: whoever held it is dead or frozen.
LEFT = b"""
SELECT d.stream_id, d.tenant_id, d.attempt FROM mesh.task_runs r
JOIN read_deadlines.deadlines d ON d.stream_id = r.task_id AND d.name = 'task' AND d.attempt = r.attempt AND d.status = 'open'
WHERE r.finished_at IS NULL AND r.lease_until < clock_timestamp() - make_interval(secs => %(margin)s) ORDER BY r.lease_until LIMIT %(limit)s
"""


class DueDeadline(NamedTuple):
    """A deadline that has come, of a task or of a request that waits for a person."""

    stream_id: str
    name: str
    tenant_id: str
    due_at: datetime


class LeftRun(NamedTuple):
    """An attempt at a task whose host let its lease run out."""

    task_id: str
    tenant_id: str
    attempt: int


async def due_deadlines(database: QueryPort, names: Collection[str], limit: int) -> list[DueDeadline]:
    """Deadlines of these names that have come, at most `limit` of each name, earliest first."""
    rows = await database.fetch(DUE, {"names": list(names), "limit": limit})
    return [DueDeadline(stream_id, name, tenant_id, due_at.astimezone(UTC)) for stream_id, name, tenant_id, due_at in rows]


async def left_runs(database: QueryPort, limit: int, margin_seconds: float) -> list[LeftRun]:
    """Attempts whose host let its lease run out at least `margin_seconds` ago, longest first."""
    return [LeftRun(*row) for row in await database.fetch(LEFT, {"limit": limit, "margin": margin_seconds})]
