"""Calls as values: an operation's arguments become a Call, its answer becomes a model; no network here. Used by the operations."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote, urlencode

import pydantic

from agentmesh_client.errors import CORRELATION, UnexpectedAnswer, error_of, seconds_of
from agentmesh_client.models import Model

T = TypeVar("T")
M = TypeVar("M", bound=Model)
LONGEST_WAIT = 10
"""Seconds that the gateway waits for an outcome at most."""


class ReadOptions(TypedDict, total=False):
    """Of every read: `min_position` as `requests:17`, seconds that the gateway may wait for it, and the correlation id."""

    min_position: str
    wait: int
    correlation_id: str


class CommandOptions(TypedDict, total=False):
    """Of every command: seconds to wait for its outcome (0 to 10), the key that makes repeats harmless, and the correlation id."""

    wait: int
    idempotency_key: str
    correlation_id: str


class OperatorOptions(TypedDict, total=False):
    """Of what an operator does: the correlation id."""

    correlation_id: str


class OrderOptions(OperatorOptions, total=False):
    """Of what a worker does when it is ordered: the key that makes repeats harmless, and the correlation id."""

    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call and how its answer is read. `repeatable` is False where a repeat may be told something else than the first."""

    method: str
    path: str
    parse: Callable[[Answer], T]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    content_type: str = "application/json"
    wait: int | None = None
    correlation_id: str | None = None
    repeatable: bool = True
    signed: bool = True

    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def all_headers(self) -> dict[str, str]:
        """The headers of the call itself, without those of a caller."""
        found = {"Accept": "application/json", **(self.headers or {})}
        if self.wait is not None:
            found["Prefer"] = f"wait={self.wait}"
        if self.body is not None:
            found["Content-Type"] = self.content_type
        return found

    def waiting(self, seconds: int) -> Call[T]:
        """The same call, waiting as long."""
        return replace(self, wait=max(0, min(LONGEST_WAIT, seconds)))

    def at(self, cursor: str) -> Call[T]:
        """The same list from another place."""
        return replace(self, query=(*(pair for pair in self.query if pair[0] != "cursor"), ("cursor", cursor)))


@dataclass(frozen=True, slots=True)
class Accepted(Generic[T]):
    """202: the command is kept and will be done, its outcome is not known yet. `again` is the same command with the same key: it is not
    done twice, and is answered by the outcome once there is one."""

    command_id: str
    location: str
    retry_after: float | None
    again: Call[T | Accepted[T]]


def path_of(*parts: str | int) -> str:
    """`/api/v1/requests/req-1` of its parts, of which each is one segment."""
    return "/api/" + "/".join(quote(str(part), safe="") for part in parts)


def body_of(**fields: Any) -> bytes:
    """The JSON of the fields that are given."""
    return json.dumps({name: value for name, value in fields.items() if value is not None}, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON.")


def pairs_of(**parameters: Any) -> tuple[tuple[str, str], ...]:
    """The query of the parameters that are given; a list is repeated."""
    found: list[tuple[str, str]] = []
    for name, value in parameters.items():
        for each in value if isinstance(value, list | tuple | set | frozenset) else [value]:
            if each is not None:
                found.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return tuple(found)


def reader(model: type[M]) -> Callable[[Answer], M]:
    """Reads an answer as this model. Raises UnexpectedAnswer."""

    def read(answer: Answer) -> M:
        body = _object(answer)
        if "agentmesh-position" in answer.headers:
            stale = answer.headers.get("agentmesh-stale") == "true"
            body = {**body, "AgentMesh-Position": answer.headers["agentmesh-position"], "AgentMesh-Stale": stale}
        try:
            return model.model_validate(body)
        except pydantic.ValidationError as error:
            raise _unexpected(answer, f"is no {model.__name__}: {error.errors(include_url=False, include_input=False)[0]}") from None

    return read


def nothing(answer: Answer) -> None:
    """Reads an answer without a body."""


def get(model: type[M], path: str, options: ReadOptions, **parameters: Any) -> Call[M]:
    """A read of a read model."""
    query = pairs_of(**parameters, min_position=options.get("min_position"))
    return Call("GET", path, reader(model), query, wait=options.get("wait"), correlation_id=options.get("correlation_id"))


def command(
    method: str, path: str, read: Callable[[Answer], T], options: CommandOptions, body: bytes | None = None
) -> Call[T | Accepted[T]]:
    """A command, with a key of its own unless one is given."""

    def parse(answer: Answer) -> T | Accepted[T]:
        return _accepted(answer, call) if answer.status == 202 else read(answer)

    key = _key(options)
    correlation_id = options.get("correlation_id")
    call: Call[T | Accepted[T]] = Call(
        method, path, parse, headers={"Idempotency-Key": key}, body=body, wait=options.get("wait"), correlation_id=correlation_id
    )
    return call


def order(model: type[M], path: str, options: OperatorOptions, body: bytes) -> Call[M]:
    """Something that an operator has done at once, without a command."""
    return Call("POST", path, reader(model), body=body, correlation_id=options.get("correlation_id"), repeatable=False)


def background(model: type[M], path: str, options: OrderOptions) -> Call[M]:
    """Something that an operator orders and a worker does; with a key of its own unless one is given."""
    return Call("POST", path, reader(model), headers={"Idempotency-Key": _key(options)}, correlation_id=options.get("correlation_id"))


def _key(options: CommandOptions | OrderOptions) -> str:
    return options.get("idempotency_key") or str(uuid.uuid4())


def read_answer(call: Call[T], answer: Answer) -> T:
    """What the call answers. Raises AgentMeshError."""
    if 200 <= answer.status < 300:
        return call.parse(answer)
    if answer.status < 400:
        raise _unexpected(answer, f"has the status {answer.status}")
    raise error_of(answer.status, answer.headers, answer.content)


def _accepted(answer: Answer, call: Call[T | Accepted[T]]) -> Accepted[T]:
    command_id = _object(answer).get("command_id")
    if not isinstance(command_id, str):
        raise _unexpected(answer, "names no command_id")
    return Accepted(command_id, answer.headers.get("location", ""), seconds_of(answer.headers.get("retry-after")), call)


def _object(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.content)
    except ValueError:
        raise _unexpected(answer, "is no JSON") from None
    if not isinstance(body, dict):
        raise _unexpected(answer, "is no JSON object")
    return body


def _unexpected(answer: Answer, what: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"The answer {what}.", status=answer.status, correlation_id=answer.headers.get(CORRELATION, ""))
