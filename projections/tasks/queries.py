"""Questions about tasks and their answers, from the read model; all that services may import of it. Every query that answers tasks is of
one tenant; only the dispatcher's own question is of all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from infra.postgres.base import QueryPort
from projections.listing import After, Listing, Slice, Waiting, waiting_rows

COLUMNS = """task_id, tenant_id, task_type, kind, subject_id, status, outcome, reason, error_type, priority, agent_id, attempt,
max_attempts, queued_at, assigned_at, started_at, completed_at, deadline_at, duration_ms, model, input_tokens, output_tokens,
cost, version, position"""
LISTING = Listing("read_tasks.tasks", COLUMNS, id="task_id", time="queued_at")

OPEN_ASSIGNMENTS = b"""
SELECT agent_id, count(*) FROM read_tasks.tasks
WHERE tenant_id = %(tenant)s AND agent_id = ANY (%(agents)s::text[]) AND status IN ('assigned', 'running') GROUP BY agent_id
"""
OLDEST_WAITING = b"""
SELECT DISTINCT ON (kind) kind, task_id, queued_at FROM read_tasks.tasks
WHERE tenant_id = %(tenant)s AND status = 'queued' ORDER BY kind, queued_at, task_id
"""

SETTLED_PAUSES = b"""
SELECT t.task_id, t.tenant_id, t.attempt FROM read_tasks.tasks t
WHERE t.status = 'paused' AND NOT EXISTS (SELECT FROM mesh.effects e WHERE e.task_id = t.task_id AND e.status = 'waiting')
LIMIT %(limit)s
"""

# One statement sees one moment: rows and checkpoints belong together.
OPEN_TASKS = b"""
SELECT (SELECT CASE WHEN count(*) = %(partitions)s THEN min(position) ELSE 0 END FROM mesh.checkpoints
        WHERE projection = 'tasks' AND topic = %(topic)s),
       ARRAY(SELECT task_id FROM read_tasks.tasks WHERE status = 'queued'
             UNION SELECT task_id FROM read_tasks.tasks WHERE status IN ('assigned', 'running')
             UNION SELECT aggregate_id FROM mesh.parked_events WHERE projection = 'tasks')
"""


class OpenTasks(NamedTuple):
    """Tasks that were not over at some moment, and a position of the log up to which their read model was complete then.

    A task that is missing here was over, or has events above the position. Parked ones are among them, since their rows are old.
    """

    position: int
    task_ids: list[str]


class GetTask(BaseModel):
    """One task of a tenant."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    task_id: str


class ListTasks(BaseModel):
    """Tasks of a tenant, newest first unless told otherwise; what is None does not filter. `after` ends the page before."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    status: str | None = None
    kind: str | None = None
    agent_id: str | None = None
    subject_id: str | None = None
    oldest_first: bool = False
    limit: int = 100
    after: After | None = None


class TaskView(BaseModel):
    """A task as the read model shows it; `version` is that of the stream it reflects. See schema.sql for what belongs to which attempt."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    tenant_id: str
    task_type: str
    kind: str
    subject_id: str
    status: str
    outcome: str | None
    reason: str | None
    error_type: str | None
    priority: int
    agent_id: str | None
    attempt: int
    max_attempts: int
    queued_at: datetime
    assigned_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    deadline_at: datetime | None
    duration_ms: int | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: str | None
    version: int
    position: int


class WaitingTask(NamedTuple):
    """The task of a kind that was asked for first of those that wait; one that waits again after an attempt counts from then, too."""

    kind: str
    task_id: str
    queued_at: datetime


class PausedTask(NamedTuple):
    """A task that was paused in this attempt."""

    task_id: str
    tenant_id: str
    attempt: int


async def get_task(port: QueryPort, query: GetTask) -> TaskView | None:
    """The task, or None when this tenant has none with that id."""
    row = await LISTING.find(port, query.tenant_id, query.task_id)
    return None if row is None else _view(row)


async def list_tasks(port: QueryPort, query: ListTasks) -> list[TaskView]:
    """A page of tasks."""
    wanted = {column: getattr(query, column) for column in ("status", "kind", "agent_id", "subject_id")}
    return [_view(row) for row in await LISTING.page(port, query.tenant_id, Slice(query.limit, query.after, query.oldest_first), **wanted)]


async def tasks_not_started(port: QueryPort, at_most: int) -> Waiting:
    """Tasks of all tenants that wait for an agent, or for their agent to begin, counted up to `at_most`; for operators."""
    return await waiting_rows(port, LISTING.table, "queued_at", "status IN ('queued', 'assigned')", at_most)


async def open_assignments(port: QueryPort, tenant_id: str, agent_ids: Sequence[str]) -> dict[str, int]:
    """How many tasks each of these agents holds now, assigned or running; an agent that holds none is not in the answer."""
    rows = await port.fetch(OPEN_ASSIGNMENTS, {"tenant": tenant_id, "agents": list(agent_ids)})
    return {str(agent_id): int(count) for agent_id, count in rows}


async def oldest_waiting(port: QueryPort, tenant_id: str) -> list[WaitingTask]:
    """For each kind of which tasks wait, the one that was asked for first."""
    return [WaitingTask(*row) for row in await port.fetch(OLDEST_WAITING, {"tenant": tenant_id})]


async def settled_pauses(port: QueryPort, limit: int) -> list[PausedTask]:
    """Paused tasks of all tenants, none of whose effects waits for a person any more."""
    return [PausedTask(*row) for row in await port.fetch(SETTLED_PAUSES, {"limit": limit})]


async def open_tasks(port: QueryPort, topic: str, partitions: int) -> OpenTasks:
    """The open tasks of all tenants; position 0 where the read model does not follow every partition of its topic yet."""
    ((position, task_ids),) = await port.fetch(OPEN_TASKS, {"topic": topic, "partitions": partitions})
    return OpenTasks(int(position), list(task_ids))


async def task_version(port: QueryPort, task_id: str) -> int:
    """The stream version that the read model shows of a task; 0 when it has no row yet."""
    return await LISTING.version(port, task_id)


async def task_versions(port: QueryPort, task_ids: Sequence[str]) -> dict[str, int]:
    """The stream versions that the read model shows of these tasks; what it has no row of is absent."""
    return await LISTING.versions(port, task_ids)


def _view(row: Any) -> TaskView:
    return TaskView(**dict(zip(TaskView.model_fields, row, strict=True)))
