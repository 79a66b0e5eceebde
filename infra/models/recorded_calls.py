"""When models were asked within tasks: a tenant's tasks in, the calls that the ledger of effects knows out; built by the gateway."""

from __future__ import annotations

from collections.abc import Sequence

from infra.models.base import RecordedCall
from infra.models.task_model import EFFECT
from infra.postgres.base import QueryPort

# A call that was repeated after a crash counts from its first begin to its last end: the row knows no more.
CALLS = b"""
SELECT task_id, created_at, CASE WHEN status <> 'intended' THEN changed_at END FROM mesh.effects
WHERE tenant_id = %(tenant)s AND task_id = ANY (%(tasks)s::text[]) AND name = %(name)s ORDER BY created_at, effect_id LIMIT 1000
"""


class PostgresRecordedCalls:
    """See the port."""

    def __init__(self, database: QueryPort) -> None:
        self._database = database

    async def of_tasks(self, tenant_id: str, task_ids: Sequence[str]) -> Sequence[RecordedCall]:
        """See the port."""
        rows = await self._database.fetch(CALLS, {"tenant": tenant_id, "tasks": list(task_ids), "name": EFFECT})
        return [RecordedCall(*row) for row in rows]
