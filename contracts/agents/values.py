"""The values of agents: raw JSON values in, checked values out; tasks and the fleet topic use them too."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from contracts.ids import AgentId
from contracts.message import NO_CONTROL

MAX_LIMIT = 1_000
"""Tasks that one agent may run at a time."""


class AgentStatus(StrEnum):
    """What an agent's stream says of it. BUSY is not among them: it follows from open assignments (AGT-10a)."""

    AVAILABLE = "available"
    SUSPENDED = "suspended"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    TERMINATED = "terminated"


AgentKind = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$"),
    Field(description="What code runs the agent; names its work topic and its consumer group."),
]
ValidAgentId = Annotated[AgentId, StringConstraints(min_length=3, max_length=50, pattern=NO_CONTROL)]
AgentName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_CONTROL)]
CapabilityName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_CONTROL)]
Level = Annotated[int, Field(strict=True, ge=1, le=5, description="1 beginner to 5 expert.")]
Limit = Annotated[int, Field(strict=True, ge=1, le=MAX_LIMIT, description="How many tasks the agent runs at a time.")]


class Capability(BaseModel):
    """Something an agent can do, and how well."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: CapabilityName
    level: Level


def _some_each_once(capabilities: tuple[Capability, ...]) -> tuple[Capability, ...]:
    if not capabilities:
        raise PydanticCustomError("no_capability", "At least one capability should be given")
    names = [capability.name for capability in capabilities]
    if len(set(names)) != len(names):
        raise PydanticCustomError("capability_twice", "Each capability should be named once")
    return capabilities


Capabilities = Annotated[tuple[Capability, ...], AfterValidator(_some_each_once)]
