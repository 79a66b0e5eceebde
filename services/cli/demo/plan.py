"""Plans a demo: which commands are published in which order, and what must become of each; pure but for the ids, always new."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contracts.ids import new_request_id
from contracts.message import Command
from contracts.requests.commands import (
    ApproveRequest,
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    RequireApproval,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.values import Category, Priority
from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from services.cli.demo import texts
from services.cli.publishing import OutgoingCommand, outgoing_command, outgoing_of_type

COMPLETED = 4
UNKNOWN_TYPE = "agentmesh.requests.EscalateRequest.v1"
# Each request's next command comes about this much of the whole run later.
STEP = 0.03


@dataclass(frozen=True, slots=True)
class Planned:
    """One record to publish. `version` is that of the stream afterwards; `fault` says what is wrong with it on purpose."""

    command: OutgoingCommand
    expected: OutcomeKind
    version: int
    fault: str | None = None


@dataclass(slots=True)
class Plan:
    """Everything that a demo publishes, in order. The duplicates are records whose command id comes a second time."""

    records: list[Planned] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    shown_request: str = ""
    """A request that goes all the way, for its history."""

    def commands(self) -> dict[tuple[str, str], Planned]:
        """The distinct commands by (aggregate id, command id)."""
        return {(each.command.aggregate_id, each.command.command_id): each for each in self.records}

    def duplicates(self) -> int:
        """How many records repeat a command."""
        return len(self.records) - len(self.commands())

    def faults(self) -> Counter[str]:
        """How many records are wrong on purpose, by what is wrong."""
        return Counter(each.fault for each in self.records if each.fault is not None)


class Planner:
    """Makes a plan from a seed: the same seed gives the same cases, with new ids."""

    def __init__(self, settings: MeshSettings, seed: int) -> None:
        self._settings = settings
        self._random = random.Random(seed)  # noqa: S311 - chooses texts
        self._timeline: list[tuple[float, Planned]] = []
        self._completed: list[dict[str, Any]] = []

    def plan(self, requests: int) -> Plan:
        """A plan with so many requests, and a handful of faults beside them."""
        plan = Plan()
        for number in range(requests):
            request_id = new_request_id()
            plan.requests.append(request_id)
            steps = COMPLETED if number == 0 else self._steps()
            if number == 0:
                plan.shown_request = request_id
            self._request(request_id, number / requests, steps)
        self._faults(requests, plan)
        self._timeline.sort(key=lambda entry: entry[0])
        plan.records = [planned for _, planned in self._timeline]
        return plan

    def _steps(self) -> int:
        """How far a request goes: 1 created, 2 triaged, 3 in progress, 4 completed."""
        return self._random.choices((1, 2, 3, COMPLETED), weights=(8, 10, 12, 70))[0]

    def _request(self, request_id: str, at: float, steps: int) -> None:
        choose = self._random.choice
        tenant = choose(texts.TENANTS)
        category = choose(tuple(Category))
        priority = self._priority(category)
        base = {"tenant_id": tenant, "request_id": request_id}
        created = self._create_fields(category, priority)
        commands: list[tuple[type[Command], dict[str, Any]]] = [
            (CreateRequest, base | created),
            (TriageRequest, base | self._triage_fields(category, priority)),
            (StartResearch, base),
            *self._approval(category, base),
            (CompleteRequest, base | {"resolution": choose(texts.ANSWERS[category])}),
        ]
        done = len(commands) if steps == COMPLETED else steps
        for version, (command, payload) in enumerate(commands[:done], start=1):
            self._add(at + (version - 1) * STEP, command, payload, OutcomeKind.EVENTS, version)
        if steps == COMPLETED:
            self._completed.append(base)
        if steps == 1 and self._random.random() < 0.5:
            before = created.get("priority", Priority.MEDIUM)
            raised = min(Priority.CRITICAL, before + 1)
            expected, version = (OutcomeKind.EVENTS, 2) if raised > before else (OutcomeKind.UNCHANGED, 1)
            self._add(at + STEP, UpdateRequest, base | {"priority": int(raised)}, expected, version)
        elif steps == 2 and self._random.random() < 0.3:
            self._add(at + 2 * STEP, DeleteRequest, base | {"reason": "asked twice by mistake"}, OutcomeKind.EVENTS, 3)
            self._add(at + 3 * STEP, DeleteRequest, base, OutcomeKind.UNCHANGED, 3)

    def _approval(self, category: Category, base: dict[str, Any]) -> list[tuple[type[Command], dict[str, Any]]]:
        """A refund is approved by a person before it is completed."""
        if category is not Category.REFUND:
            return []
        return [(RequireApproval, base), (ApproveRequest, base | {"reason": "the customer is right"})]

    def _priority(self, category: Category) -> Priority:
        weights = (0, 60, 30, 10) if category is Category.REFUND else (25, 45, 22, 8)
        return self._random.choices(tuple(Priority), weights=weights)[0]

    def _create_fields(self, category: Category, priority: Priority) -> dict[str, Any]:
        pick = self._random
        fields: dict[str, Any] = {"customer_id": self._customer(), "message": self._message(category)}
        if pick.random() < 0.8:
            fields["priority"] = int(priority)
        if pick.random() < 0.4:
            fields["category"] = category.value
            fields["priority"] = int(priority)
        if pick.random() < 0.5:
            fields["metadata"] = {"channel": pick.choice(texts.CHANNELS), "plan": pick.choice(texts.PLANS)}
        return fields

    def _triage_fields(self, category: Category, priority: Priority) -> dict[str, Any]:
        fields: dict[str, Any] = {"category": category.value, "priority": int(priority)}
        fields["confidence"] = round(self._random.uniform(0.6, 0.99), 2)
        if self._random.random() < 0.5:
            fields["reason"] = self._random.choice(texts.REASONS)
        return fields

    def _message(self, category: Category) -> str:
        pick = self._random
        text = pick.choice(texts.CASES[category]).format(
            month=pick.choice(texts.MONTHS),
            product=pick.choice(texts.PRODUCTS),
            plan=pick.choice(texts.PLANS),
            amount=pick.randrange(20, 900),
            number=f"{pick.randrange(2021, 2027)}-{pick.randrange(10_000, 99_999)}",
            day=pick.randrange(4, 20),
            code=pick.choice((403, 409, 429, 500, 502, 504)),
            seconds=pick.randrange(5, 60),
        )
        return text[:1].upper() + text[1:]

    def _customer(self) -> str:
        return f"cust-{self._random.randrange(1, 500):04d}"

    def _faults(self, requests: int, plan: Plan) -> None:
        pick = self._random
        few, some = max(1, requests // 100), max(1, requests // 60)
        for number in range(few):
            script = {"message": texts.SCRIPT_TEXTS[number % len(texts.SCRIPT_TEXTS)], "customer_id": self._customer()}
            self._wrong(CreateRequest, {"request_id": new_request_id(), **script}, "script in the message")
            customer = texts.BAD_CUSTOMERS[number % len(texts.BAD_CUSTOMERS)]
            case = {"message": self._message(Category.GENERAL), "customer_id": customer}
            self._wrong(CreateRequest, {"request_id": new_request_id(), **case}, "customer id of another form")
            self._wrong(StartResearch, {"request_id": new_request_id()}, "request that does not exist")
        created = [planned for _, planned in self._timeline if planned.version == 1 and planned.expected is OutcomeKind.EVENTS]
        for planned in pick.sample(created, min(some, len(created))):
            again = {"tenant_id": planned.command.tenant_id, "request_id": planned.command.aggregate_id}
            case = {"customer_id": self._customer(), "message": self._message(Category.GENERAL)}
            self._wrong(CreateRequest, again | case, "request that exists already", at=2.0)
        for base in pick.sample(self._completed, min(some, len(self._completed))):
            self._wrong(StartResearch, base, "request in another state", at=2.0)
        foreign = {"tenant_id": "somebody-else", "request_id": plan.shown_request, "resolution": "not mine to close"}
        self._wrong(CompleteRequest, foreign, "request of another tenant", at=2.0)
        unknown = {"tenant_id": texts.TENANTS[0], "request_id": plan.shown_request}
        outgoing = outgoing_of_type(self._settings, "requests", UNKNOWN_TYPE, "request_id", unknown)
        self._timeline.append((pick.random(), Planned(outgoing, OutcomeKind.REJECTED, 0, "unknown type")))
        published = [entry for entry in self._timeline if entry[1].fault is None]
        self._timeline += [(2.1 + pick.random(), planned) for _, planned in pick.sample(published, min(some, len(published)))]

    def _wrong(self, command: type[Command], payload: dict[str, Any], fault: str, at: float | None = None) -> None:
        payload = {"tenant_id": self._random.choice(texts.TENANTS), **payload}
        self._add(self._random.random() if at is None else at, command, payload, OutcomeKind.REJECTED, 0, fault)

    def _add(
        self, at: float, command: type[Command], payload: dict[str, Any], expected: OutcomeKind, version: int, fault: str | None = None
    ) -> None:
        outgoing = outgoing_command(self._settings, command, payload)
        self._timeline.append((at, Planned(outgoing, expected, version, fault)))


def pages(plan: Plan, size: int) -> Iterator[list[Planned]]:
    """The records of a plan in groups, in order."""
    for start in range(0, len(plan.records), size):
        yield plan.records[start : start + size]
