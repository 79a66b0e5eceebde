"""A model that answers as it is told, operation by operation; for tests of agents, it asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from contracts.tasks.values import ModelUsage
from infra.models.base import Answered, ModelNonsense, Question, Said
from infra.models.task_model import faults

USAGE = ModelUsage(model="scripted", calls=1, input_tokens=10, output_tokens=5)


class ScriptedModel:
    """Promises as in `infra.models.base.LanguageModel`. `answers` has for each operation an answer, an exception to raise, or a list of
    these that is used up; the last of a list stays. What does not fit the output type is nonsense, as from a real model."""

    name = USAGE.model

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = {operation: list(said) if isinstance(said, list) else [said] for operation, said in answers.items()}
        self.asked: list[Question[Any]] = []
        """Every question that came."""

    async def answer(self, question: Question[Any], said: Said | None = None) -> Answered:
        """See the port."""
        self.asked.append(question)
        answers = self._answers[question.operation]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        try:
            return Answered(question.adapter.validate_python(answer), USAGE)
        except ValidationError as error:
            raise ModelNonsense(f"The scripted answer does not fit: {faults(error)}", USAGE) from error

    async def close(self) -> None:
        """Nothing to close."""
