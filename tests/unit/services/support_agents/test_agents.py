"""The built-in agents in the test kit: given a task, when handled, then its result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from contracts.requests.commands import TriageRequest
from contracts.tasks.commands import TimeOutTask
from infra.agents.base import Agent, Task, TaskContext, TaskFailed
from infra.agents.testkit import TENANT, handled
from infra.effects.base import Rule
from infra.effects.memory import InMemoryEffectLedger, InMemoryRuns
from infra.knowledge.files import documents_in
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent

ARTICLES = Path(__file__).resolve().parents[4] / "services" / "support_agents" / "knowledge"
LOST = {"message": "I forgot my password and cannot log in", "category": None, "priority": 2, "metadata": {}}


async def test_triage_answers_what_the_command_takes() -> None:
    done = await handled(TriageAgent(), LOST)
    assert done.result["category"] == "account"
    TriageRequest.model_validate({"tenant_id": TENANT, "request_id": "req-1", **done.result})


async def test_what_research_finds_is_what_resolution_answers_with() -> None:
    found = await handled(ResearchAgent(), {**LOST, "category": "account"}, documents=documents_in([ARTICLES]))
    assert found.result["findings"]
    answered = await handled(ResolutionAgent(), found.result)
    assert answered.result["sources"]
    assert answered.result["confidence"] > 0.2


async def test_without_a_finding_the_answer_says_so() -> None:
    found = await handled(ResearchAgent(), {**LOST, "category": "account"})
    assert not found.result["findings"]
    answered = await handled(ResolutionAgent(), found.result)
    assert answered.result["confidence"] == pytest.approx(0.2)


class Moody(Agent):
    """Does what its input says."""

    kind = "moody"
    capabilities: ClassVar[Mapping[str, int]] = {"moods": 1}

    def __init__(self) -> None:
        self.calls = 0

    async def handle(self, task: Task, context: TaskContext) -> Any:
        """One mood a task."""
        return await getattr(self, task.input["mood"])(context)

    async def good(self, context: TaskContext) -> Any:
        return Mood(name="good")

    async def wrong(self, context: TaskContext) -> Any:
        return ["no", "object"]

    async def raising(self, context: TaskContext) -> Any:
        raise RuntimeError("out of\x00 order")

    async def failing(self, context: TaskContext) -> Any:
        raise TaskFailed("nothing to be done", final=True)

    async def unwritable(self, context: TaskContext) -> Any:
        return {"text": "\ud800"}

    async def too_large(self, context: TaskContext) -> Any:
        return {"text": "x" * 300_000}

    async def with_nul(self, context: TaskContext) -> Any:
        return {"text": "a\x00b"}

    async def raising_unwritable(self, context: TaskContext) -> Any:
        context.usage = "much"  # type: ignore[assignment]
        raise RuntimeError("half \ud800")

    async def slow(self, context: TaskContext) -> Any:
        await asyncio.sleep(60)

    async def late_error(self, context: TaskContext) -> Any:
        raise TimeoutError("the model was slow")

    async def paying(self, context: TaskContext) -> Any:
        async def pay() -> str:
            self.calls += 1
            return f"paid-{self.calls}"

        return {"receipt": await context.effects.once("payment", pay, input={"amount": "9.99"}, rule=Rule.PERSON)}


class Mood(BaseModel):
    """A result as a model."""

    name: str


async def test_a_model_is_a_result() -> None:
    assert (await handled(Moody(), {"mood": "good"})).result == {"name": "good"}


@pytest.mark.parametrize(
    ("mood", "error_type", "says", "final"),
    [
        ("wrong", "TaskFailed", "answered list, which is no JSON object", True),
        ("raising", "RuntimeError", "out of order", False),
        ("failing", "TaskFailed", "nothing to be done", True),
        ("unwritable", "TaskFailed", "cannot be written as JSON", True),
        ("too_large", "TaskFailed", "at most 262144", True),
        ("with_nul", "TaskFailed", "NUL", True),
        ("raising_unwritable", "RuntimeError", "half \\ud800", False),
        ("late_error", "TimeoutError", "the model was slow", False),
    ],
)
async def test_every_way_to_fail_has_its_command(mood: str, error_type: str, says: str, final: bool) -> None:
    failure = (await handled(Moody(), {"mood": mood})).failure
    assert (failure.error_type, failure.final) == (error_type, final)
    assert says in failure.reason
    assert failure.to_json()


async def test_an_agent_that_is_too_slow_times_out() -> None:
    assert isinstance((await handled(Moody(), {"mood": "slow"}, seconds=0.05)).command, TimeOutTask)


async def test_an_effect_is_made_once_over_two_attempts() -> None:
    runs = InMemoryRuns()
    ledger, agent = InMemoryEffectLedger(runs), Moody()
    first = await handled(agent, {"mood": "paying"}, ledger=ledger, runs=runs)
    second = await handled(agent, {"mood": "paying"}, ledger=ledger, runs=runs, attempt_number=2)
    assert first.result == second.result == {"receipt": "paid-1"}
    assert agent.calls == 1
    assert len(second.effects) == 1
