"""The routes of tasks: read, list, cancel; each call comes in signed in and permitted."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.agents.values import AgentKind
from contracts.tasks.commands import CancelTask
from contracts.tasks.values import TaskStatus
from infra.identity.base import Permission, Principal
from projections.tasks.queries import GetTask, ListTasks, TaskView, get_task, list_tasks
from services.gateway.bodies import command_value, read_object
from services.gateway.calls import principal_of
from services.gateway.linked import Link, Linked, Page
from services.gateway.openapi import EXAMPLE_TIME, Example, Operation, body, changed, good, leads_to, refused
from services.gateway.parameters import DEFAULT_PAGE, NEWEST, Cursor, IdempotencyKey, IdInPath, IdInQuery, Limit, Prefer, Sort
from services.gateway.resources.base import Asked, Kind, Listed, Resource

KIND = Kind("Task", "/api/v1/tasks", "task_id", "tasks", "tasks")
EXAMPLE = Example(KIND.name, KIND.path, KIND.id_field, "task-6a3c1f0e-5b7d-4e0f-9a51-0c2d4e6f8a1b")
OPEN = frozenset({TaskStatus.QUEUED, TaskStatus.ASSIGNED, TaskStatus.RUNNING, TaskStatus.PAUSED})


class TaskRepresentation(Linked):
    """A task, as the read model shows it. Times and what was used are those of the last attempt; see `attempt`."""

    task_id: str
    task_type: str
    kind: str
    subject_id: str
    status: TaskStatus
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
    position: str


class TaskPage(Page[TaskRepresentation]):
    """A page of tasks."""


class TaskRoutes(Resource[TaskView]):
    """The handlers."""

    kind = KIND
    read_models = (KIND.read_model,)

    def router(self) -> APIRouter:
        """The routes with their permissions."""
        router = APIRouter(prefix=KIND.path, tags=["tasks"])
        add = partial(self.add, router)
        add("GET", "", self.list_page, Permission.TASK_READ, LIST)
        add("GET", "/{task_id}", self.get, Permission.TASK_READ, GET)
        add("POST", "/{task_id}/cancel", self.cancel, Permission.TASK_CANCEL, CANCEL)
        return router

    async def find(self, principal: Principal, id_: str) -> TaskView | None:
        """The row."""
        return await get_task(self.reads(principal), GetTask(tenant_id=principal.tenant_id, task_id=id_))

    def represent(self, view: TaskView, principal: Principal) -> TaskRepresentation:
        """The task as this caller reads it."""
        href = self.url_of(view.task_id)
        may = self.may(principal)
        links = {"self": Link(href=href, rel="self", description="This task.")}
        if may(Permission.TASK_CANCEL) and view.status in OPEN:
            links["cancel"] = Link(href=f"{href}/cancel", rel="cancel", method="POST", description="Give the task up.")
        if may(Permission.REQUEST_READ) and view.subject_id.startswith("req-"):
            links["request"] = Link(href=self.url(f"/api/v1/requests/{view.subject_id}"), rel="request", description="What it is for.")
        if may(Permission.AGENT_READ) and view.agent_id is not None:
            links["agent"] = Link(href=self.url(f"/api/v1/agents/{view.agent_id}"), rel="agent", description="Who has it.")
        return TaskRepresentation(
            **view.model_dump(exclude={"tenant_id", "position", "status"}),
            status=TaskStatus(view.status),
            position=f"{KIND.context}:{view.position}",
            links=links,
        )

    async def get(self, request: Request, task_id: IdInPath) -> Response:
        """One task."""
        return self.shown(request, await self.visible(request, task_id))

    async def cancel(self, request: Request, task_id: IdInPath, idempotency_key: IdempotencyKey = None, prefer: Prefer = None) -> Response:
        """Give a task up."""
        value = command_value(CancelTask, frozenset({"reason"}), await read_object(request), self.fixed(request, task_id))
        return await self.change(request, task_id, CancelTask, value, Asked(idempotency_key, prefer))

    async def list_page(
        self,
        request: Request,
        status: Annotated[TaskStatus | None, Query(description="In this status only.")] = None,
        kind: Annotated[AgentKind | None, Query(description="Of this kind only.")] = None,
        agent_id: Annotated[str | None, IdInQuery] = None,
        subject_id: Annotated[str | None, IdInQuery] = None,
        sort: Sort = NEWEST,
        limit: Limit = DEFAULT_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """A page of tasks. `subject_id` is what a task is for, as a request."""
        principal = principal_of(request.scope)
        asked = Listed(limit, cursor, sort)
        filters = {"status": status, "kind": kind, "agent_id": agent_id, "subject_id": subject_id}
        wanted = ListTasks(tenant_id=principal.tenant_id, **filters, oldest_first=asked.oldest_first, limit=limit + 1, after=asked.after)
        return self.listed(request, await list_tasks(self.reads(principal), wanted), asked, filters, TaskPage, "queued_at")


SHOWN = {
    "task_id": EXAMPLE.id,
    "task_type": "research",
    "kind": "researcher",
    "subject_id": "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b",
    "status": "running",
    "outcome": None,
    "reason": None,
    "error_type": None,
    "priority": 2,
    "agent_id": "agent-researcher-1",
    "attempt": 1,
    "max_attempts": 3,
    "queued_at": EXAMPLE_TIME,
    "assigned_at": EXAMPLE_TIME,
    "started_at": EXAMPLE_TIME,
    "completed_at": None,
    "deadline_at": "2026-05-04T12:05:00Z",
    "duration_ms": None,
    "model": None,
    "input_tokens": None,
    "output_tokens": None,
    "cost": None,
    "version": 3,
    "position": "tasks:3",
    "_links": {"self": EXAMPLE.link("This task.")},
}
LIST = Operation(
    "list_tasks",
    "List tasks",
    "The tasks of the tenant, page by page, filtered by status, kind, agent, and by what they are for.",
    200,
    {
        200: good(
            TaskPage,
            "A page.",
            {"items": [SHOWN], "next_cursor": None, "_links": {}},
            leads_to("task_id", "get_task", "cancel_task", within="/items/0"),
        ),
        **refused(),
    },
)
GET = Operation(
    "get_task",
    "Read a task",
    "One task as the read model shows it, with its last attempt.",
    200,
    {200: good(TaskRepresentation, "The task.", SHOWN), **refused("RESOURCE_NOT_FOUND")},
)
CANCEL = Operation(
    "cancel_task",
    "Cancel a task",
    "Give a task up that is not over. What its agent is doing is not used any more; the request goes on as after a failure.",
    200,
    {
        200: good(TaskRepresentation, "Cancelled.", {**SHOWN, "status": "done", "outcome": "FAILURE"}),
        **changed(EXAMPLE, "RESOURCE_NOT_FOUND"),
    },
    body(CancelTask, {"not_needed": {"reason": "The customer has found the answer."}}, ("tenant_id", "task_id")),
)
