"""The agents of the chaos fleet: the built-in ones, which also ask a model and pay over HTTP, through the ledger of effects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import httpx2

from infra.agents.base import Task, TaskContext
from infra.effects.base import NOT_DONE, Probe, Rule
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent

SERVER_VARIABLE = "AGENTMESH_CHAOS_SERVER"


class _Outside:
    """The calls, each under the key that the ledger gives its effect."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(base_url=os.environ[SERVER_VARIABLE], timeout=10)

    async def model(self, task: Task, context: TaskContext) -> None:
        """Ask the model: an interrupted call is made again."""
        given = {"task": task.task_id, "step": task.task_type}

        async def ask() -> Any:
            return (await self._client.post(f"/model/{context.effects.key('model', input=given)}")).json()

        await context.effects.once("model", ask, input=given, rule=Rule.REPEAT)

    async def pay(self, task: Task, context: TaskContext) -> None:
        """Pay: of an interrupted call the other side is asked whether it was done."""
        given = {"request": task.subject_id, "amount": "10.00"}
        key = context.effects.key("payment", input=given)

        async def pay() -> Any:
            return (await self._client.post(f"/payment/{key}")).json()

        async def was_paid() -> Any:
            answer = (await self._client.get(f"/payment/{key}")).json()
            return answer if answer["done"] else NOT_DONE

        await context.effects.once("payment", pay, input=given, rule=Probe(was_paid))


class CountedTriage(TriageAgent):
    """Asks the model before it answers by rules."""

    def __init__(self) -> None:
        self._outside = _Outside()

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """As the base."""
        await self._outside.model(task, context)
        return await super().handle(task, context)


class CountedResearch(ResearchAgent):
    """Asks the model before it looks things up."""

    def __init__(self) -> None:
        self._outside = _Outside()

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """As the base."""
        await self._outside.model(task, context)
        return await super().handle(task, context)


class PayingResolution(ResolutionAgent):
    """Pays before it answers."""

    def __init__(self) -> None:
        self._outside = _Outside()

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """As the base."""
        await self._outside.pay(task, context)
        return await super().handle(task, context)
