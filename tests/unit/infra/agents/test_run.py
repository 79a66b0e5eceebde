"""What one attempt comes to when its agent will not be stopped in time."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar

import pytest

from contracts.tasks.commands import TimeOutTask
from infra.agents.base import Agent, Task, TaskContext
from infra.agents.testkit import handled

LIMIT = 0.05


class Late(Agent):
    """Answers after its deadline."""

    kind = "late"
    capabilities: ClassVar[dict[str, int]] = {"waiting": 1}

    async def handle(self, task: Task, context: TaskContext) -> Any:
        """Takes no notice of being stopped, or gives nobody the chance to stop it."""
        if task.input["blocks"]:
            time.sleep(2 * LIMIT)  # noqa: ASYNC251
            return {"late": True}
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {"late": True}


@pytest.mark.parametrize("blocks", [False, True])
async def test_an_answer_after_the_deadline_is_no_answer(blocks: bool) -> None:
    done = await handled(Late(), {"blocks": blocks}, seconds=LIMIT)
    assert isinstance(done.command, TimeOutTask)


class Unwritable(Agent):
    """Answers an object that JSON cannot say."""

    kind = "unwritable"
    capabilities: ClassVar[dict[str, int]] = {"writing": 1}

    async def handle(self, task: Task, context: TaskContext) -> Any:
        """A mapping with something in it."""
        return {"at": [object()]}


async def test_a_result_that_json_cannot_say_ends_the_task() -> None:
    done = await handled(Unwritable(), {})
    assert done.failure.final
    assert "JSON" in done.failure.reason
