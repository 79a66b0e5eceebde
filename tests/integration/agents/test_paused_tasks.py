"""An effect that may have happened pauses its task, which goes on when a person has settled it; through every worker, on real servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from contracts.ids import new_task_id
from contracts.tasks.events import TaskCompleted
from contracts.tasks.values import TaskOutcome
from infra.agents.base import Agent, Task, TaskContext
from infra.effects.base import EffectFilter, Status
from infra.effects.postgres import PostgresEffectLedger
from infra.runtime.agent_host import AgentHost
from infra.settings import MeshSettings
from projections.tasks.projection import TASKS
from services.agents.worker import build as build_agents
from services.dispatcher.worker import build as build_dispatcher
from services.scheduler.worker import build as build_scheduler
from services.tasks.worker import build as build_tasks
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration


class Mailer(Agent):
    """Sends a mail that must not be sent twice; the line breaks, and nobody knows whether it was sent."""

    kind = "mailer"
    capabilities: ClassVar[Mapping[str, int]] = {"mail": 1}
    sent = 0

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Answers what the mail server said."""
        return {"receipt": await context.effects.once("mail", self._send, input=task.input)}

    async def _send(self) -> str:
        type(self).sent += 1
        raise ConnectionResetError("the line broke")


async def test_a_task_waits_for_a_person_and_goes_on_with_the_persons_word(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        for build in (build_tasks, build_agents, build_dispatcher, build_scheduler):
            await mesh.start(build(mesh.settings, mesh.telemetry))
        await mesh.start(mesh.relay(), mesh.projection(TASKS), AgentHost(Mailer(), mesh.settings, mesh.telemetry))
        able = {"name": "Ann", "kind": "mailer", "capabilities": [{"name": "mail", "level": 1}], "limit": 1}
        await mesh.do_in("agents", "RegisterAgent", "agent-1", {"agent_id": "agent-1", **able})
        task_id = new_task_id()
        # The first attempt breaks, the second finds that it may have happened: all that the task may fail is spent.
        payload = {"task_id": task_id, "task_type": "mail", "kind": "mailer", "subject_id": "req-1", "max_attempts": 2}
        await mesh.do_in("tasks", "RequestTask", task_id, payload)

        async def paused() -> bool:
            rows = await mesh.rows("SELECT status, reason FROM read_tasks.tasks WHERE task_id = %(id)s", id=task_id)
            return bool(rows) and rows[0][0] == "paused" and "agentmesh effects settle" in rows[0][1]

        await wait_for(paused, 30, "the pause")
        ledger = PostgresEffectLedger(mesh.database)
        (effect,) = await ledger.find(EffectFilter((Status.WAITING,), task_id=task_id), 10)
        assert await ledger.settle(effect.effect_id, '"receipt-7"', "ada", "the mail server's log says so")

        async def done() -> TaskCompleted | None:
            last = (await mesh.store_of("tasks").read_stream(task_id))[-1].event()
            return last if isinstance(last, TaskCompleted) else None

        ended = await wait_for(done, 30, "the end of the task")
        assert (ended.outcome, ended.result, ended.attempt) == (TaskOutcome.SUCCESS, {"receipt": "receipt-7"}, 3)
        assert Mailer.sent == 1
        names = [event.metadata.type_name.split(".")[2] for event in await mesh.store_of("tasks").read_stream(task_id)]
        attempt = ["TaskAssigned", "TaskStarted"]
        assert names == ["TaskQueued", *attempt, "TaskReassigned", *attempt, "TaskPaused", "TaskReassigned", *attempt, "TaskCompleted"]
        (row,) = await mesh.rows("SELECT tenant_id, status FROM read_tasks.tasks WHERE task_id = %(id)s", id=task_id)
        assert row[0] == TENANT
