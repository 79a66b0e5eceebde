"""Puts an agent's questions to a model once per task, by rules where none is configured; made by the agent host for each run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from contracts.tasks.values import ModelUsage
from infra.effects.base import Effects, Rule
from infra.models.base import (
    RULE_BASED,
    Answered,
    LanguageModel,
    ModelError,
    ModelNonsense,
    ModelNotConfigured,
    Output,
    Prompt,
    Question,
    RuleFunction,
    Tool,
)
from infra.partial_outputs.base import Teller
from infra.telemetry.metrics import Metrics

EFFECT = "model"


class TaskModel:
    """The model of one run; promises as in `infra.models.base.Model`. `used` is told what each call used, answered or not;
    `tell` makes what is told an operation's answer on its way."""

    def __init__(
        self,
        model: LanguageModel | None,
        rules: Mapping[str, RuleFunction],
        effects: Effects,
        used: Callable[[ModelUsage], None],
        metrics: Metrics | None = None,
        tell: Callable[[str], Teller] | None = None,
    ) -> None:
        self._model = model
        self._rules = rules
        self._effects = effects
        self._used = used
        self._metrics = metrics
        self._teller = tell

    @property
    def name(self) -> str:
        """See the port."""
        return RULE_BASED if self._model is None else self._model.name

    async def run(
        self, operation: str, *, instructions: str, prompt: Prompt, output_type: type[Output], tools: Sequence[Tool] = ()
    ) -> Output:
        """See the port."""
        question = Question(operation, instructions, prompt, output_type, tools)
        if self._model is None:
            return self._by_rules(question)
        return await self._once(self._model, question)

    def _by_rules(self, question: Question[Output]) -> Output:
        """Free, local and the same each time: the ledger has nothing to remember."""
        rule = self._rules.get(question.operation)
        if rule is None:
            raise ModelNotConfigured(
                f"No model is configured and the agent has no rule for {question.operation!r}: set AGENTMESH_MODEL_URL and "
                "AGENTMESH_MODEL_NAME, or give the agent a rule of that name."
            )
        answer = rule(question.prompt)
        self._tell(question.operation, ModelUsage(model=RULE_BASED, calls=1, input_tokens=0, output_tokens=0))
        try:
            return question.adapter.validate_python(answer)
        except ValidationError as error:
            raise ModelNonsense(f"The rule {question.operation} answered what does not fit: {faults(error)}") from error

    async def _once(self, model: LanguageModel, question: Question[Output]) -> Output:
        asked = False

        async def ask() -> dict[str, Any]:
            nonlocal asked
            asked = True
            try:
                answered = await self._answered(model, question)
            except ModelError as error:
                if error.usage is not None:
                    self._tell(question.operation, error.usage)
                raise
            self._tell(question.operation, answered.usage)
            return {"output": question.adapter.dump_python(answered.output, mode="json"), "usage": answered.usage.model_dump(mode="json")}

        outcome = await self._effects.once(EFFECT, ask, input=question.depends_on(model.name), rule=Rule.REPEAT)
        try:
            output = question.adapter.validate_json(json.dumps(outcome["output"]))
            usage = ModelUsage.model_validate(outcome["usage"])
        except (ValidationError, KeyError, TypeError) as error:
            raise ModelNonsense(f"The recorded answer to {question.operation} is none: was it settled by hand?") from error
        if not asked:
            # An earlier attempt told its cost, so this one only says whose answer it uses: the sum over a task counts each call once.
            self._used(ModelUsage(model=usage.model, calls=0, input_tokens=0, output_tokens=0, cost=Decimal(0)))
        return output

    async def _answered(self, model: LanguageModel, question: Question[Output]) -> Answered:
        if self._teller is None:
            return await model.answer(question)
        teller = self._teller(question.operation)
        try:
            return await model.answer(question, teller)
        finally:
            teller.flush()

    def _tell(self, operation: str, usage: ModelUsage) -> None:
        self._used(usage)
        if self._metrics is not None:
            self._metrics.llm_tokens_used_total.labels(model=usage.model, operation=operation).inc(usage.input_tokens + usage.output_tokens)
            self._metrics.llm_cost_usd_total.labels(model=usage.model, operation=operation).inc(float(usage.cost))


def faults(error: ValidationError) -> str:
    """Which fields break which rule; never the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc']) or 'the answer'}: {fault['type']}" for fault in found[:10])
