"""Makes the commands of a run from a seed, with what each should come to by a model of requests that shares no code with the product."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.chaos.checker import EVENTS, REJECTED, UNCHANGED

TENANT = "test-tenant"
OPEN = ("pending", "triaged", "in_progress")
# Requests that are worked on at the same time: few enough that one batch often holds several commands of one request.
ACTIVE = 120


class Sent(NamedTuple):
    """One record for the commands topic. `expected` is None for a repeat and for a record that nobody can read."""

    aggregate_id: str
    command_id: str | None
    expected: str | None
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class Model:
    """What a request should be after the commands so far."""

    aggregate_id: str
    status: str = ""
    message: str = ""
    commands: int = 0

    def create(self, message: str) -> str:
        """A request is created once."""
        if self.status:
            return REJECTED
        self.status, self.message = "pending", message
        return EVENTS

    def update(self, message: str) -> str:
        """An open request takes another message; the same one changes nothing."""
        if self.status not in OPEN:
            return REJECTED
        before, self.message = self.message, message
        return UNCHANGED if before == message else EVENTS

    def move(self, needed: str, status: str) -> str:
        """One step of the workflow."""
        if self.status != needed:
            return REJECTED
        self.status = status
        return EVENTS

    def delete(self) -> str:
        """From any state; again it changes nothing."""
        if not self.status:
            return REJECTED
        before, self.status = self.status, "deleted"
        return UNCHANGED if before == "deleted" else EVENTS


class Workload:
    """An endless stream of records, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._active: list[Model] = []
        self._sent: list[Sent] = []

    def take(self, count: int) -> list[Sent]:
        """The next records: `count` commands, and among them repeats and unreadable records."""
        records: list[Sent] = []
        commands = 0
        while commands < count:
            sent = self._command()
            commands += 1
            records.append(sent)
            self._sent.append(sent)
            chance = self._random.random()
            if chance < 0.04:
                records.append(self._random.choice(self._sent[-2_000:])._replace(expected=None))
            elif chance < 0.042:
                records.append(Sent(sent.aggregate_id, None, None, b"{not json", []))
        return records

    def _command(self) -> Sent:
        request = self._pick()
        request.commands += 1
        name, payload, expected = self._next(request)
        body = {"tenant_id": TENANT, "request_id": request.aggregate_id, **payload}
        command_id = self._uuid()
        headers = {
            "ce_specversion": "1.0",
            "ce_id": command_id,
            "ce_type": f"agentmesh.requests.{name}.v1",
            "ce_source": "/tests/chaos",
            "content-type": "application/json",
        }
        encoded = [(key, value.encode()) for key, value in headers.items()]
        return Sent(request.aggregate_id, command_id, expected, json.dumps(body).encode(), encoded)

    def _pick(self) -> Model:
        """A request of the active ones; one that has had its share of commands makes room for a new one."""
        if len(self._active) < ACTIVE:
            self._active.append(Model(f"req-{self._uuid()}"))
            return self._active[-1]
        index = self._random.randrange(len(self._active))
        request = self._active[index]
        if request.commands >= 4 and self._random.random() < 0.5:
            request = self._active[index] = Model(f"req-{self._uuid()}")
        return request

    def _next(self, request: Model) -> tuple[str, dict[str, Any], str]:
        chance = self._random.random()
        if chance < 0.04:
            return self._invalid(request)
        if chance < 0.14 or (request.commands == 1 and chance < 0.18):
            return self._any(request)
        steps = {"": self._create, "pending": self._triage, "triaged": self._start, "in_progress": self._complete}
        if request.status in OPEN and self._random.random() < 0.35:
            return self._update(request)
        step = steps.get(request.status)
        return step(request) if step is not None and self._random.random() < 0.95 else self._delete(request)

    def _any(self, request: Model) -> tuple[str, dict[str, Any], str]:
        """Whatever the state: refusals, updates without effect, requests that are not there."""
        choice = self._random.choice([self._create, self._triage, self._start, self._complete, self._update, self._delete])
        return choice(request)

    def _invalid(self, request: Model) -> tuple[str, dict[str, Any], str]:
        payload = {"customer_id": "cust-0001", "message": self._message(), "priority": 9}
        return "CreateRequest", payload, REJECTED

    def _create(self, request: Model) -> tuple[str, dict[str, Any], str]:
        message = self._message()
        payload = {"customer_id": f"cust-{self._random.randrange(500):04}", "message": message, "priority": 2}
        return "CreateRequest", payload, request.create(message)

    def _triage(self, request: Model) -> tuple[str, dict[str, Any], str]:
        payload = {"category": "billing", "priority": self._random.randint(1, 4), "confidence": 0.9}
        return "TriageRequest", payload, request.move("pending", "triaged")

    def _start(self, request: Model) -> tuple[str, dict[str, Any], str]:
        return "StartResearch", {}, request.move("triaged", "in_progress")

    def _complete(self, request: Model) -> tuple[str, dict[str, Any], str]:
        return "CompleteRequest", {"resolution": "done"}, request.move("in_progress", "completed")

    def _update(self, request: Model) -> tuple[str, dict[str, Any], str]:
        message = request.message if request.message and self._random.random() < 0.2 else self._message()
        return "UpdateRequest", {"message": message}, request.update(message)

    def _delete(self, request: Model) -> tuple[str, dict[str, Any], str]:
        return "DeleteRequest", {}, request.delete()

    def _message(self) -> str:
        return f"My invoice number {self._random.randrange(10**9)} is wrong"

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def pages(records: list[Sent], size: int) -> Iterator[list[Sent]]:
    """The records in pages of at most `size`."""
    for start in range(0, len(records), size):
        yield records[start : start + size]
