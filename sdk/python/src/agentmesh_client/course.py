"""The course of a call as steps: a Call in, what to send, wait or renew out, until its result is there. The transports take the steps."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from agentmesh_client.calls import Accepted, Answer, Call, read_answer
from agentmesh_client.errors import AgentMeshError, EndedOtherwise, NotFound, Unauthorized, WaitTimedOut
from agentmesh_client.models import Request
from agentmesh_client.operations import requests
from agentmesh_client.retries import Retries, delay_ms
from agentmesh_client.signing import Signer

T = TypeVar("T")
FINAL = frozenset({"completed", "rejected", "failed", "deleted"})
"""Statuses that a request does not leave."""
LOOKS_BEFORE_SLOW = 6
logger = logging.getLogger("agentmesh_client")


@dataclass(frozen=True, slots=True)
class Send:
    """Send this; the step's result is an Answer, or NotConnected is thrown in."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    longer: float
    """Seconds that the gateway may take beyond the usual."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Renew:
    """Have the token renewed, unless another than this is in use already."""

    token: str | None


Step = Send | Sleep | Renew
Steps = Generator[Step, Any, T]


class Course:
    """What both clients do, without doing it."""

    def __init__(
        self, base_url: str, signer: Signer, retries: Retries, correlation_id: str | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.signer = signer
        self.retries = retries
        self.correlation_id = correlation_id
        self.now = now

    def send(self, call: Call[Any], correlation_id: str) -> Send:
        """The call as it is sent now."""
        headers = {**call.all_headers(), "X-Correlation-ID": correlation_id, **(self.signer.headers() if call.signed else {})}
        return Send(call.method, self.base_url + call.target(), headers, call.body, float(call.wait or 0))

    def id_of(self, call: Call[Any]) -> str:
        """The correlation id of a call: its own, the client's, or a new one."""
        return call.correlation_id or self.correlation_id or str(uuid.uuid4())

    def perform(self, call: Call[T]) -> Steps[T]:
        """The call with its retries. Raises AgentMeshError."""
        correlation_id = self.id_of(call)
        attempt, renewed = 1, False
        while True:
            if call.signed and self.signer.due():
                yield Renew(self.signer.token)
            token = self.signer.token
            try:
                answer: Answer = yield self.send(call, correlation_id)
                return read_answer(call, answer)
            except Unauthorized:
                if renewed or not call.signed or not self.signer.renews:
                    raise
                renewed = True
                yield Renew(token)
            except AgentMeshError as error:
                error.correlation_id = error.correlation_id or correlation_id
                pause = self._pause(call, attempt, error)
                if pause is None:
                    raise
                attempt += 1
                yield Sleep(pause)

    def _pause(self, call: Call[Any], attempt: int, error: AgentMeshError) -> float | None:
        pause = self.retries.pause(attempt, error, call.repeatable)
        told = {"attempt": attempt, "attempts": self.retries.attempts, "correlation_id": error.correlation_id}
        if pause is not None:
            logger.warning("%s %s failed and is repeated in %.3f s: %s", call.method, call.path, pause, error, extra=told)
        elif attempt > 1:
            logger.error("%s %s failed %d times: %s", call.method, call.path, attempt, error, extra=told)
        return pause

    def renew(self, token: str | None) -> Steps[None]:
        """A new token instead of this one, unless somebody got one meanwhile."""
        if self.signer.token != token and not self.signer.due():
            return
        self.signer.took((yield from self.perform(self.signer.call())))

    def settled(self, found: T | Accepted[T], timeout: float) -> Steps[T]:
        """The outcome of a command. Raises AgentMeshError: what the command is refused with, or WaitTimedOut."""
        deadline = self.now() + timeout
        while isinstance(found, Accepted):
            left = deadline - self.now()
            if left <= 0:
                raise WaitTimedOut(f"The command {found.command_id} has no outcome after {timeout} s.")
            again = yield from self.perform(found.again.waiting(math.ceil(left)))
            if isinstance(again, Accepted):
                yield Sleep(max(0.0, min(again.retry_after or delay_ms(1) / 1000, deadline - self.now())))
            found = again
        return found

    def wait_for(self, request_id: str, until: Collection[str] = FINAL, timeout: float = 60.0) -> Steps[Request]:
        """The request in one of these statuses. Raises WaitTimedOut; EndedOtherwise; AgentMeshError."""
        deadline = self.now() + timeout
        looks = 0
        status = "not there yet"
        while True:
            looks += 1
            try:
                found = yield from self.perform(requests.get_request(request_id))
            except NotFound:
                status = "not there yet"
            else:
                status = found.status
                if status in until:
                    return found
                if status in FINAL:
                    raise EndedOtherwise(f"The request {request_id} is {status}.", details={"status": status})
            left = deadline - self.now()
            if left <= 0:
                raise WaitTimedOut(f"The request {request_id} is {status} after {timeout} s.", details={"status": status})
            yield Sleep(min(left, delay_ms(min(looks, LOOKS_BEFORE_SLOW)) / 1000))
