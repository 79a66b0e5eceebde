"""Typed identifiers that the type checker keeps apart, and the generators of new ones; used wherever an identifier is made."""

from __future__ import annotations

from typing import NewType
from uuid import uuid4

TenantId = NewType("TenantId", str)
RequestId = NewType("RequestId", str)
CustomerId = NewType("CustomerId", str)
ThreadId = NewType("ThreadId", str)
AgentId = NewType("AgentId", str)
TaskId = NewType("TaskId", str)
CommandId = NewType("CommandId", str)
EventId = NewType("EventId", str)


def new_request_id() -> RequestId:
    """A new random request id, `req-<uuid4>`."""
    return RequestId(f"req-{uuid4()}")


def new_customer_id() -> CustomerId:
    """A new random customer id, `cust-<uuid4>`."""
    return CustomerId(f"cust-{uuid4()}")


def new_thread_id() -> ThreadId:
    """A new random thread id, `thread-<uuid4>`."""
    return ThreadId(f"thread-{uuid4()}")


def new_agent_id() -> AgentId:
    """A new random agent id: the bare UUID4 text (AGT-02)."""
    return AgentId(str(uuid4()))


def new_task_id() -> TaskId:
    """A new random task id, `task-<uuid4>`."""
    return TaskId(f"task-{uuid4()}")


def new_command_id() -> CommandId:
    """A new random command id, the bare UUID4 text: the command's idempotency key."""
    return CommandId(str(uuid4()))
