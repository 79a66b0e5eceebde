"""Tasks from their read model and event store, and their cancellation; the work behind `tasks`."""

from __future__ import annotations

from contracts.requests.values import Priority
from contracts.tasks.commands import CancelTask
from contracts.tasks.values import TaskStatus
from projections.tasks.queries import GetTask, ListTasks, TaskView, get_task, list_tasks
from services.cli import publish
from services.cli.event_log import HISTORY_COLUMNS, event_row, history_cells
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json, print_table
from services.cli.views import check_choice, existing, print_views

COLUMNS = ("task", "type", "kind", "status", "outcome", "priority", "subject", "agent", "attempt", "queued", "version")
# The same in each event of a task.
SUBJECT_FIELDS = ("tenant_id", "task_id", "task_type", "kind", "subject_id")


async def list_(query: ListTasks, output: Output) -> None:
    """A tenant's tasks, newest first. Raises WrongUsage for a status that does not exist."""
    check_choice("status", query.status, TaskStatus)
    async with open_mesh() as mesh:
        found = await list_tasks(mesh.database, query)
    print_views(found, COLUMNS, _cells, output, empty=f"No task of tenant {query.tenant_id} matches.")


async def show(tenant: str, task_id: str, output: Output) -> None:
    """One task of a tenant, and the events of its stream. Raises NotFound."""
    async with open_mesh() as mesh:
        found = existing(await get_task(mesh.database, GetTask(tenant_id=tenant, task_id=task_id)), "task", task_id, tenant)
        events = await mesh.stores["tasks"].read_stream(task_id)
    if output is Output.JSON:
        print_json(found.model_dump(mode="json") | {"events": [event_row(event) for event in events]})
        return
    print_facts(found.model_dump() | {"priority": _priority(found)})
    print()
    print_table(HISTORY_COLUMNS, history_cells(events, SUBJECT_FIELDS), empty="No event.")


async def cancel(task_id: str, reason: str, *, tenant: str, timeout: float, output: Output) -> int:
    """Cancel a task and answer the exit code; one that has ended stays as it is."""
    return await publish.order(CancelTask, {"task_id": task_id, "reason": reason}, tenant=tenant, timeout=timeout, output=output)


def _priority(view: TaskView) -> str:
    return Priority(view.priority).name.lower()


def _cells(view: TaskView) -> list[object]:
    attempt = f"{view.attempt} of {view.max_attempts}"
    return [
        view.task_id, view.task_type, view.kind, view.status, view.outcome, _priority(view), view.subject_id, view.agent_id, attempt,
        view.queued_at, view.version,
    ]  # fmt: skip
