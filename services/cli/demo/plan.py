"""Plans a demo: which commands are published in which order, and what must become of each; pure but for the ids, always new."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.ids import new_request_id
from contracts.message import Command
from contracts.requests.commands import CompleteRequest, CreateRequest, StartResearch
from contracts.requests.values import Category, Priority
from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from services.cli.demo import texts
from services.cli.publishing import OutgoingCommand, outgoing_command, outgoing_of_type

UNKNOWN_TYPE = "agentmesh.requests.EscalateRequest.v1"
CUSTOMERS = 20
"""Of each tenant; they are known before their requests come."""


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
    late: list[Planned] = field(default_factory=list)
    """What is published once the requests have come to rest."""
    requests: list[str] = field(default_factory=list)
    shown_request: str = ""
    """A refund, which waits for an approval: its timeline is shown."""
    shown_tenant: str = ""

    def all(self) -> list[Planned]:
        """The records and the late ones."""
        return [*self.records, *self.late]

    def commands(self) -> dict[tuple[str, str], Planned]:
        """The distinct commands by (aggregate id, command id)."""
        return {(each.command.aggregate_id, each.command.command_id): each for each in self.all()}

    def duplicates(self) -> int:
        """How many records repeat a command."""
        return len(self.all()) - len(self.commands())

    def faults(self) -> Counter[str]:
        """How many records are wrong on purpose, by what is wrong."""
        return Counter(each.fault for each in self.all() if each.fault is not None)


class Planner:
    """Makes a plan from a seed: the same seed gives the same cases, with new ids."""

    def __init__(self, settings: MeshSettings, seed: int) -> None:
        self._settings = settings
        self._random = random.Random(seed)  # noqa: S311 - chooses texts
        self._timeline: list[tuple[float, Planned]] = []
        self._late: list[Planned] = []

    def plan(self, requests: int) -> Plan:
        """A plan with so many requests, and a handful of faults beside them."""
        plan = Plan()
        for number in range(requests):
            request_id = new_request_id()
            plan.requests.append(request_id)
            tenant = self._random.choice(texts.TENANTS)
            if number == 0:
                plan.shown_request, plan.shown_tenant = request_id, tenant
            fields = self._refund(tenant) if number == 0 else self._create_fields(tenant)
            self._add(number / requests, CreateRequest, {"tenant_id": tenant, "request_id": request_id, **fields})
        self._faults(requests, plan)
        self._timeline.sort(key=lambda entry: entry[0])
        plan.records, plan.late = [planned for _, planned in self._timeline], self._late
        return plan

    def _refund(self, tenant: str) -> dict[str, Any]:
        """What the shown request asks for: money, of a known amount, so that a person is asked and it can be paid."""
        return {
            "customer_id": customer_id(tenant, 1),
            "message": texts.REFUND,
            "category": Category.REFUND.value,
            "priority": int(Priority.MEDIUM),
            "metadata": {"amount": "49.90", "currency": "USD", "order_id": "A-1001"},
        }

    def _priority(self, category: Category) -> Priority:
        weights = (0, 60, 30, 10) if category is Category.REFUND else (25, 45, 22, 8)
        return self._random.choices(tuple(Priority), weights=weights)[0]

    def _create_fields(self, tenant: str) -> dict[str, Any]:
        pick = self._random
        # A refund waits for a person, and so does what triage is not sure of: most requests should end by themselves.
        category = pick.choices(tuple(Category), weights=[1 if each is Category.REFUND else 3 for each in Category])[0]
        priority = self._priority(category)
        fields: dict[str, Any] = {"customer_id": self._customer(tenant), "message": self._message(category)}
        if pick.random() < 0.8:
            fields["priority"] = int(priority)
        if pick.random() < 0.9:
            fields["category"] = category.value
            fields["priority"] = int(priority)
        if pick.random() < 0.5:
            fields["metadata"] = {"channel": pick.choice(texts.CHANNELS), "plan": pick.choice(texts.PLANS)}
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

    def _customer(self, tenant: str = texts.TENANTS[0]) -> str:
        return customer_id(tenant, self._random.randint(1, CUSTOMERS))

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
        created = [planned for _, planned in self._timeline if planned.fault is None]
        for planned in pick.sample(created, min(some, len(created))):
            again = {"tenant_id": planned.command.tenant_id, "request_id": planned.command.aggregate_id}
            case = {"customer_id": self._customer(), "message": self._message(Category.GENERAL)}
            self._wrong(CreateRequest, again | case, "request that exists already", late=True)
            # At rest no request is still to be researched, whatever its end.
            self._wrong(StartResearch, again, "request in another state", late=True)
        foreign = {"tenant_id": "somebody-else", "request_id": plan.shown_request, "resolution": "not mine to close"}
        self._wrong(CompleteRequest, foreign, "request of another tenant", late=True)
        unknown = {"tenant_id": texts.TENANTS[0], "request_id": plan.shown_request}
        outgoing = outgoing_of_type(self._settings, "requests", UNKNOWN_TYPE, "request_id", unknown)
        self._timeline.append((pick.random(), Planned(outgoing, OutcomeKind.REJECTED, 0, "unknown type")))
        self._late += pick.sample(created, min(some, len(created)))

    def _wrong(self, command: type[Command], payload: dict[str, Any], fault: str, *, late: bool = False) -> None:
        payload = {"tenant_id": self._random.choice(texts.TENANTS), **payload}
        planned = Planned(outgoing_command(self._settings, command, payload), OutcomeKind.REJECTED, 0, fault)
        if late:
            self._late.append(planned)
        else:
            self._timeline.append((self._random.random(), planned))

    def _add(self, at: float, command: type[Command], payload: dict[str, Any]) -> None:
        self._timeline.append((at, Planned(outgoing_command(self._settings, command, payload), OutcomeKind.EVENTS, 1)))


def customer_id(tenant: str, number: int) -> str:
    """The id of one of a tenant's customers; ids are unique over all tenants."""
    return f"cust-{tenant}-{number:03d}"


def pages(records: Sequence[Planned], size: int) -> Iterator[list[Planned]]:
    """The records in groups, in order."""
    for start in range(0, len(records), size):
        yield list(records[start : start + size])
