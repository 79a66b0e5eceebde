"""Typed identifiers that the type checker keeps apart, the generators of new ones, and ids derived from other ids."""

from __future__ import annotations

from hashlib import sha1
from typing import NewType
from uuid import UUID, uuid4

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


def derived_uuid(namespace: UUID, name: str) -> str:
    """The text of `uuid.uuid5(namespace, name)`, without the UUID object, which costs three times as much as the hash."""
    h = sha1(namespace.bytes + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(h[16], 16) & 3]
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{variant}{h[17:20]}-{h[20:32]}"
