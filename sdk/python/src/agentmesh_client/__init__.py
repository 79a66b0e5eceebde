"""The Python client of an AgentMesh's gateway: what a program imports of this package."""

from agentmesh_client.aio import AsyncAgentMesh
from agentmesh_client.calls import Accepted
from agentmesh_client.client import AgentMesh
from agentmesh_client.errors import (
    AgentMeshError,
    BusinessRuleViolation,
    Conflict,
    EndedOtherwise,
    Forbidden,
    IdempotencyKeyReused,
    NotConnected,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    ValidationError,
    WaitTimedOut,
)
from agentmesh_client.models import Event, Money, Partial
from agentmesh_client.retries import Retries

__all__ = [
    "Accepted",
    "AgentMesh",
    "AgentMeshError",
    "AsyncAgentMesh",
    "BusinessRuleViolation",
    "Conflict",
    "EndedOtherwise",
    "Event",
    "Forbidden",
    "IdempotencyKeyReused",
    "Money",
    "NotConnected",
    "NotFound",
    "Partial",
    "RateLimited",
    "Retries",
    "ServerError",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "ValidationError",
    "WaitTimedOut",
]
