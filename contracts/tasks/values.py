"""The values of tasks: what a unit of agent work asks for, how it ended, and what it used."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.agents.values import CapabilityName, Level
from contracts.ids import TaskId
from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL

DEFAULT_ATTEMPTS = 3
DEFAULT_TIME_LIMIT_SECONDS = 300
DAY_SECONDS = 86_400
LEASE_EXPIRED = "The lease of its host expired."
"""The reason of a ReassignTask whose run was left by its host."""
MAX_COUNT = 2**53 - 1
"""The largest whole number that every reader of JSON, and a bigint column, takes exactly."""


class TaskStatus(StrEnum):
    """Where a task stands (AGT-16 to AGT-20)."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"


class TaskOutcome(StrEnum):
    """How a task ended (AGT-15)."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    TIMEOUT = "TIMEOUT"


class RoutingStrategy(StrEnum):
    """How the dispatcher chooses among the agents that can take a task (AGT-14)."""

    LEAST_LOADED = "least_loaded"
    ROUND_ROBIN = "round_robin"
    BEST_LEVEL = "best_level"


ValidTaskId = Annotated[TaskId, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL)]
TaskType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$"), Field(description="What is to be done, e.g. triage.")]
SubjectId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL),
    Field(description="What the task is about, e.g. a request's id."),
]
Attempt = Annotated[int, Field(strict=True, ge=1, description="The attempt that is meant: the fence against late results.")]
Attempts = Annotated[int, Field(strict=True, ge=1, le=100)]
TimeLimit = Annotated[int, Field(strict=True, ge=1, le=7 * DAY_SECONDS, description="Seconds from assignment to the deadline.")]
EffectId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL),
    Field(description="An effect in the ledger, as `agentmesh effects` names it."),
]
ErrorType = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=NO_CONTROL),
    Field(description="The kind of error, a name of few values: errors are counted by it."),
]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_CONTROL)]
Tokens = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
Milliseconds = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
# Bounded digits, because a numeric column takes no exponent of any size.
Cost = Annotated[Decimal, Field(ge=0, max_digits=64, decimal_places=48, allow_inf_nan=False, description="In US dollars, as text.")]


class Requirement(BaseModel):
    """A capability that the agent of a task must have, and at least at which level."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: CapabilityName
    level: Level = 1


class ModelUsage(BaseModel):
    """What the model calls of one attempt used, summed up. Without calls where an earlier attempt's answer was used again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName
    calls: Tokens
    input_tokens: Tokens
    output_tokens: Tokens
    cost: Cost = Decimal(0)
    prices: ModelName | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="The table of prices that the cost was computed with; absent: no price is known, or none is asked.",
    )
