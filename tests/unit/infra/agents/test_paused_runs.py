"""An attempt that meets an effect which may have happened is paused, not failed; after a person's word it goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from contracts.tasks.commands import FailTask, PauseTask
from contracts.tasks.values import TaskOutcome
from infra.agents.base import Agent, Task, TaskContext
from infra.agents.observed import ending
from infra.agents.testkit import handled
from infra.effects.memory import InMemoryEffectLedger, InMemoryRuns


class Mailer(Agent):
    """Sends a mail that must not be sent twice; the first time the line breaks, and nobody knows whether it was sent."""

    kind = "mailer"
    capabilities: ClassVar[Mapping[str, int]] = {"mail": 1}
    sent = 0

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Answers what the mail server said."""
        return {"receipt": await context.effects.once("mail", self._send, input=task.input)}

    async def _send(self) -> str:
        type(self).sent += 1
        raise ConnectionResetError("the line broke")


async def test_an_effect_that_may_have_happened_pauses_the_next_attempt_until_a_person_has_settled_it() -> None:
    runs = InMemoryRuns()
    ledger = InMemoryEffectLedger(runs)

    async def attempt(number: int) -> Any:
        return await handled(Mailer(), {"to": "ann"}, attempt_number=number, ledger=ledger, runs=runs)

    first = await attempt(1)
    assert isinstance(first.command, FailTask)
    second = await attempt(2)
    (effect,) = second.effects
    assert isinstance(second.command, PauseTask)
    assert (second.command.attempt, second.command.effect_id) == (2, effect.effect_id)
    assert effect.effect_id in second.command.reason
    assert ending(second.command) == (TaskOutcome.FAILURE, "EffectNeedsPerson")

    assert await ledger.settle(effect.effect_id, '"receipt-7"', "ada", "the mail server's log says so")
    third = await attempt(3)
    assert third.result == {"receipt": "receipt-7"}
    assert Mailer.sent == 1
