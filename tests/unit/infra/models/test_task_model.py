"""What an agent's question becomes: a rule's answer, a model's, a recorded one, or an error with a name."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from contracts.tasks.values import ModelUsage
from infra.agents.base import Agent, Task, TaskContext
from infra.agents.testkit import handled
from infra.effects.base import EffectFilter, RunClaim
from infra.effects.memory import InMemoryEffectLedger
from infra.effects.once import HostEffects
from infra.models.base import ModelNonsense, ModelNotConfigured, Question, added
from infra.models.scripted import USAGE, ScriptedModel
from infra.models.task_model import TaskModel

CLAIM = RunClaim("acme", "task-1", 1, "host-1")


class Mood(BaseModel, frozen=True):
    """An answer."""

    name: str
    cost: Decimal = Decimal(0)


def asking(model: ScriptedModel | None, rules: Mapping[str, Any] | None = None, ledger: InMemoryEffectLedger | None = None) -> TaskModel:
    effects = HostEffects(ledger or InMemoryEffectLedger()).of_run(CLAIM)
    return TaskModel(model, rules or {}, effects, lambda usage: None)


async def ask(model: TaskModel, prompt: Any = "how?", **changed: Any) -> Mood:
    return await model.run(**{"operation": "mood", "instructions": "Say it.", "prompt": prompt, "output_type": Mood, **changed})


async def test_without_a_model_the_agents_rule_answers_and_is_named_so() -> None:
    model = asking(None, {"mood": lambda prompt: {"name": f"{prompt}!"}})
    assert model.name == "rule-based"
    assert await ask(model) == Mood(name="how?!")


async def test_a_rule_that_answers_what_does_not_fit_is_nonsense_by_field_and_without_its_value() -> None:
    with pytest.raises(ModelNonsense, match="name: missing") as caught:
        await ask(asking(None, {"mood": lambda prompt: {"secret": "value"}}))
    assert "value" not in str(caught.value)


async def test_without_model_and_rule_the_error_says_what_to_set() -> None:
    with pytest.raises(ModelNotConfigured, match="AGENTMESH_MODEL_URL") as caught:
        await ask(asking(None))
    assert caught.value.final


async def test_with_a_model_the_rules_are_not_asked() -> None:
    model = asking(ScriptedModel({"mood": {"name": "good", "cost": "0.10"}}), {"mood": lambda prompt: {"name": "rule"}})
    assert await ask(model) == Mood(name="good", cost=Decimal("0.10"))


async def test_a_recorded_answer_comes_back_as_the_same_value() -> None:
    ledger, scripted = InMemoryEffectLedger(), ScriptedModel({"mood": {"name": "good", "cost": "0.10"}})
    first = await ask(asking(scripted, ledger=ledger))
    again = await ask(asking(scripted, ledger=ledger))
    assert (first, len(scripted.asked)) == (again, 1)


@pytest.mark.parametrize(
    "changed",
    [{"prompt": "why?"}, {"instructions": "Say it again."}, {"operation": "temper"}, {"output_type": Question}, {"tools": True}],
    ids=lambda changed: next(iter(changed)),
)
async def test_what_the_answer_depends_on_makes_another_question(changed: dict[str, Any]) -> None:
    class Other(BaseModel):
        name: str
        cost: Decimal = Decimal(0)
        more: str = ""

    async def look() -> str:
        """Look."""
        return "seen"

    if "output_type" in changed:
        changed = {"output_type": Other}
    if "tools" in changed:
        changed = {"tools": [look]}
    ledger, scripted = InMemoryEffectLedger(), ScriptedModel({"mood": {"name": "good"}, "temper": {"name": "good"}})
    await ask(asking(scripted, ledger=ledger))
    await ask(asking(scripted, ledger=ledger), **changed)
    assert len(scripted.asked) == 2


async def test_the_same_question_asked_twice_in_one_run_is_put_twice() -> None:
    scripted = ScriptedModel({"mood": [{"name": "first"}, {"name": "second"}]})
    model = asking(scripted)
    assert [(await ask(model)).name, (await ask(model)).name] == ["first", "second"]


async def test_an_outcome_that_a_person_put_there_and_that_is_no_answer_is_nonsense() -> None:
    ledger, scripted = InMemoryEffectLedger(), ScriptedModel({"mood": [RuntimeError("killed"), {"name": "good"}]})
    with pytest.raises(RuntimeError):
        await ask(asking(scripted, ledger=ledger))
    (effect,) = await ledger.find(EffectFilter(), 10)
    assert await ledger.settle(effect.effect_id, '{"mood": "good"}', "ann", "by hand")
    with pytest.raises(ModelNonsense, match="settled by hand"):
        await ask(asking(scripted, ledger=ledger))


@pytest.mark.parametrize("prompt", ["how?", {"message": "wie geht’s?", "number": 1}, Mood(name="how?")])
async def test_a_prompt_is_text_an_object_or_a_model(prompt: Any) -> None:
    scripted = ScriptedModel({"mood": {"name": "good"}})
    await ask(asking(scripted), prompt)
    assert scripted.asked[0].text in ("how?", '{"message": "wie geht’s?", "number": 1}', '{"name":"how?","cost":"0"}')


def test_usage_adds_up_over_calls_and_models() -> None:
    one = ModelUsage(model="small", calls=1, input_tokens=10, output_tokens=2, cost=Decimal("0.1"), prices="p 1")
    other = ModelUsage(model="large", calls=2, input_tokens=5, output_tokens=1, cost=Decimal("0.2"))
    total = added(added(one, other), one)
    assert total == ModelUsage(model="small, large", calls=4, input_tokens=25, output_tokens=5, cost=Decimal("0.4"), prices="p 1")
    assert added(None, one) == added(one, None) == one
    assert added(None, None) is None


class Talker(Agent):
    """Asks twice, with a tool of its own class."""

    kind: ClassVar[str] = "talker"
    capabilities: ClassVar[Mapping[str, int]] = {"talking": 1}

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Two questions."""
        names = [await context.model.run("mood", instructions="Say it.", prompt=each, output_type=Mood) for each in ("a", "b")]
        return {"names": [each.name for each in names], "model": context.model.name}


async def test_the_usage_of_an_attempt_is_the_sum_of_its_questions() -> None:
    done = await handled(Talker(), {}, model=ScriptedModel({"mood": [{"name": "x"}, {"name": "y"}]}))
    assert list(done.result["names"]) == ["x", "y"]
    assert done.command.usage == added(USAGE, USAGE)  # type: ignore[union-attr]
