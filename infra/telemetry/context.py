"""Binds the identity of the message being handled to the running task; set by workers from headers, read by every log line."""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

# Requests are the aggregate whose id a log line carries as request_id.
REQUEST_TYPES = "agentmesh.requests."


class MessageIdentity(Protocol):
    """What `bind_message` needs of a message's metadata; `contracts.envelope.Metadata` has it."""

    @property
    def correlation_id(self) -> str | None: ...
    @property
    def causation_id(self) -> str | None: ...
    @property
    def tenant_id(self) -> str | None: ...
    @property
    def traceparent(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class LogContext:
    """Who and what the running task works for; every field None outside a message or call."""

    correlation_id: str | None = None
    causation_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    tenant_id: str | None = None
    traceparent: str | None = None


NOTHING = LogContext()

# One variable that holds the message's metadata as it came: binding is on the hot path, reading happens when a line is written.
_bound: ContextVar[LogContext | MessageIdentity] = ContextVar("agentmesh_log_context", default=NOTHING)


class _Binding:
    """Sets the variable for a `with` block, and puts back what was there."""

    __slots__ = ("_token", "_value")

    def __init__(self, value: LogContext | MessageIdentity) -> None:
        self._value = value
        self._token: Token[LogContext | MessageIdentity] | None = None

    def __enter__(self) -> None:
        self._token = _bound.set(self._value)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is not None:
            _bound.reset(self._token)
            self._token = None


def bind_message(metadata: MessageIdentity) -> _Binding:
    """`with bind_message(metadata):` every log line inside, also of other libraries, carries this message's ids."""
    return _Binding(metadata)


def bind(**fields: str | None) -> _Binding:
    """`with bind(tenant_id=…):` these fields on top of what is bound already; names are those of LogContext."""
    return _Binding(replace(current(), **fields))


def current() -> LogContext:
    """What is bound to the running task."""
    bound = _bound.get()
    return bound if isinstance(bound, LogContext) else _from_message(bound)


def _from_message(metadata: MessageIdentity) -> LogContext:
    request_id = getattr(metadata, "request_id", None)
    if request_id is None and str(getattr(metadata, "type_name", "")).startswith(REQUEST_TYPES):
        request_id = getattr(metadata, "subject", None)
    user_id = getattr(metadata, "auth_id", None) if getattr(metadata, "auth_type", None) == "user" else None
    return LogContext(
        correlation_id=metadata.correlation_id or None,
        causation_id=metadata.causation_id or None,
        request_id=request_id or None,
        user_id=user_id or None,
        tenant_id=metadata.tenant_id or None,
        traceparent=metadata.traceparent,
    )
