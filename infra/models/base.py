"""The port to language models: a question in, a validated answer and its usage out; adapters and the work behind `run` stand beside.

    answer = await context.model.run("triage", instructions="Say what the request is about.", prompt=known, output_type=Triage)

What comes back is a valid `Triage`, whatever the model said on the way to it; else one of the errors below is raised.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast, overload

from pydantic import BaseModel, TypeAdapter

from contracts.tasks.values import MAX_COUNT, ModelUsage
from infra.errors import ConfigurationError, DataError, MeshError, TransientError

Output = TypeVar("Output")
Prompt = str | BaseModel | Mapping[str, Any]
Tool = Callable[..., Awaitable[Any]]
"""A coroutine function that the model may call: its name, typed parameters and docstring are what the model is told of it."""
RuleFunction = Callable[[Any], Any]
"""Answers an operation by rules: the prompt as the agent gave it in, the output or a JSON value of it out."""

RULE_BASED = "rule-based"
"""How the answers of rules are named wherever a decision says who made it."""
SEPARATOR = ", "
MAX_NAME = 200


class ModelError(MeshError):
    """Base of what a model raises; the attempt of the task fails with the class's name as `error_type`.

    ModelError
    ├── ModelUnavailable      away, overloaded, too slow: the attempt fails, another one may succeed
    ├── ModelRefused          the endpoint refuses the request itself, or its content: final
    ├── ModelNonsense         no answer that fits the output type, after it was asked to mend it: the attempt fails
    ├── ModelLimitExceeded    the answer would need more requests or tokens than the settings allow: final
    └── ModelNotConfigured    no model is set, and the agent has no rule for the operation: final
    """

    final: ClassVar[bool] = False
    """Whether another attempt would end the same."""

    def __init__(self, message: str, usage: ModelUsage | None = None) -> None:
        super().__init__(message)
        self.usage = usage
        """What was used for nothing."""


class ModelUnavailable(ModelError, TransientError):
    """The model could not be reached, or could not answer; `retry_after` is how many seconds it asked to be left alone."""

    def __init__(self, message: str, usage: ModelUsage | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, usage)
        self.retry_after = retry_after


class ModelRefused(ModelError, DataError):
    """The endpoint refused: a wrong key, an unknown model, a request it takes for invalid, content that it does not answer."""

    final = True


class ModelNonsense(ModelError):
    """What the model said never fitted the output type."""


class ModelLimitExceeded(ModelError):
    """A limit of the settings was reached before there was an answer."""

    final = True


class ModelNotConfigured(ModelError, ConfigurationError):
    """There is neither a model nor a rule for the operation."""

    final = True


@dataclass(frozen=True)
class Question(Generic[Output]):
    """What a model is asked."""

    operation: str
    """Names what is asked for, in metrics, spans and the ledger; few values."""
    instructions: str
    prompt: Prompt
    output_type: type[Output]
    tools: Sequence[Tool] = ()

    @property
    def adapter(self) -> TypeAdapter[Output]:
        """Reads and writes answers."""
        return _adapter(cast(Hashable, self.output_type))  # mypy takes no type variable for hashable

    @property
    def text(self) -> str:
        """The prompt as the model reads it."""
        if isinstance(self.prompt, str):
            return self.prompt
        if isinstance(self.prompt, BaseModel):
            return self.prompt.model_dump_json()
        return json.dumps(self.prompt, ensure_ascii=False, default=str)

    def depends_on(self, model: str) -> dict[str, Any]:
        """All that the answer depends on, for the ledger: another text, schema, tool or model is another question."""
        return {
            "model": model,
            "operation": self.operation,
            "instructions": self.instructions,
            "prompt": self.text,
            "output": self.adapter.json_schema(),
            "tools": [f"{tool.__name__}: {tool.__doc__}" for tool in self.tools],
        }


@lru_cache(maxsize=256)
def _adapter(output_type: Any) -> TypeAdapter[Any]:
    """Made once per type: a fleet that works by rules asks hundreds of times a second."""
    return TypeAdapter(output_type)


class Answered(NamedTuple):
    """An answer, valid, and what it used."""

    output: Any
    usage: ModelUsage


Said = Callable[[str | None], None]
"""Is told each part of an answer as the model writes it; None where it begins, anew where it had begun before. Neither waits nor raises."""


class LanguageModel(Protocol):
    """An adapter: asks one model, with fail-over and protection inside. Safe for many questions at a time."""

    @property
    def name(self) -> str:
        """The model's name as configured."""
        ...

    async def answer(self, question: Question[Any], said: Said | None = None) -> Answered:
        """The whole answer; `said` is told of it on its way, where the model can. Raises ModelUnavailable, ModelRefused, ModelNonsense,
        ModelLimitExceeded, each with what was used."""
        ...

    async def close(self) -> None:
        """End its connections."""
        ...


class Model(Protocol):
    """What an agent sees: the model of its task."""

    @property
    def name(self) -> str:
        """The model that answers; `rule-based` while none is configured."""
        ...

    async def run(
        self, operation: str, *, instructions: str, prompt: Prompt, output_type: type[Output], tools: Sequence[Tool] = ()
    ) -> Output:
        """A valid answer of the output type: a pydantic model, or anything that pydantic reads from a JSON object.

        Each question is put once over all attempts of the task: what was answered is used again, what was interrupted is asked again.
        A tool runs inside the question, so one that does something outside does it by `context.effects.once`.
        Raises ModelError, and what effects raise.
        """
        ...


@overload
def added(first: ModelUsage | None, second: ModelUsage) -> ModelUsage: ...


@overload
def added(first: ModelUsage | None, second: ModelUsage | None) -> ModelUsage | None: ...


def added(first: ModelUsage | None, second: ModelUsage | None) -> ModelUsage | None:
    """The sum of what two used."""
    if first is None or second is None:
        return first or second
    return ModelUsage(
        model=_both(first.model, second.model),
        calls=min(first.calls + second.calls, MAX_COUNT),
        input_tokens=min(first.input_tokens + second.input_tokens, MAX_COUNT),
        output_tokens=min(first.output_tokens + second.output_tokens, MAX_COUNT),
        cost=first.cost + second.cost,
        prices=first.prices or second.prices,
    )


def _both(first: str, second: str) -> str:
    names = [*first.split(SEPARATOR), *second.split(SEPARATOR)]
    return SEPARATOR.join(dict.fromkeys(names))[:MAX_NAME]


class RecordedCall(NamedTuple):
    """A question that an agent put to a model within a task."""

    task_id: str
    began_at: datetime
    ended_at: datetime | None
    """None while no answer is recorded."""


class RecordedCalls(Protocol):
    """Tells when models were asked. Rules that answer in a model's place are no calls."""

    async def of_tasks(self, tenant_id: str, task_ids: Sequence[str]) -> Sequence[RecordedCall]:
        """The calls within these tasks of a tenant, by time. Raises TransientError."""
        ...
