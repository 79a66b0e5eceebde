"""Reference data in decisions: read once a batch, by the keys of command or state, in each round anew; nothing where nobody needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, ClassVar, NamedTuple, cast

import pytest

from contracts.envelope import Metadata, encode_stored
from contracts.errors import ResourceNotFound
from contracts.message import Command, Event
from contracts.requests.commands import CreateRequest, DeleteRequest, TriageRequest
from contracts.requests.events import RequestCreated, RequestTriaged
from infra.errors import TransientError
from infra.event_store.base import (
    AggregateAppend,
    AppendMode,
    EventStore,
    LoadedStream,
    Outcome,
    OutcomeKind,
    Refusal,
    SourceRecord,
    StoredEvent,
    StreamQuery,
)
from infra.postgres.base import QueryPort
from infra.resilience.retry import TransientRetry
from infra.runtime.base import AggregateType, DecisionContext, ReferenceData
from infra.runtime.batch import BatchProcessor, Group
from infra.runtime.decide import BatchContext
from infra.runtime.decode import Incoming
from infra.runtime.references import ReferenceReader
from infra.runtime.state_cache import StateCache
from infra.telemetry.telemetry import Telemetry

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
TIERS: Mapping[Hashable, str] = {"cust-0001": "enterprise", "cust-0002": "free"}


class Customer(NamedTuple):
    """The state: whose request it is, and on which tiers it was decided."""

    customer_id: str
    tiers: tuple[str | None, ...] = ()


def evolve(state: Customer | None, event: Any) -> Customer:
    if isinstance(event, RequestCreated):
        return Customer(event.customer_id)
    assert state is not None
    return state._replace(tiers=(*state.tiers, event.reason))


def create(state: Customer | None, command: CreateRequest, context: DecisionContext) -> tuple[Event, ...]:
    created = RequestCreated(
        tenant_id=command.tenant_id, request_id=command.request_id, customer_id=command.customer_id, message=command.message,
        priority=command.priority, category=None, thread_id=command.request_id, created_at=NOW, requested_at=NOW,  # type: ignore[arg-type]
    )  # fmt: skip
    return (created,)


def triage(state: Customer | None, command: TriageRequest, context: DecisionContext) -> tuple[Event, ...]:
    if state is None:
        raise ResourceNotFound("Request", command.request_id)
    triaged = RequestTriaged(
        tenant_id=command.tenant_id, request_id=command.request_id, assigned_category=command.category,
        assigned_priority=command.priority, confidence=0.9, reason=str(context.reference), triaged_at=NOW,
    )  # fmt: skip
    return (triaged,)


def key(state: Customer | None, command: Command) -> Hashable | None:
    source = state or command
    return getattr(source, "customer_id", None)


class Asked:
    """What was asked for, query by query, answered from TIERS; the first `failures` find the database away."""

    def __init__(self, failures: int = 0) -> None:
        self.queries: list[set[Hashable]] = []
        self._failures = failures

    async def read(self, _database: Any, keys: Collection[Hashable]) -> Mapping[Hashable, Any]:
        self.queries.append(set(keys))
        if len(self.queries) <= self._failures:
            raise TransientError("the database is away")
        return {each: TIERS[each] for each in keys if each in TIERS}


class Store:
    """Streams in memory; the next `conflicts` appends are refused."""

    context: ClassVar[str] = "requests"

    def __init__(self, conflicts: int = 0) -> None:
        self.streams: dict[str, LoadedStream] = {}
        self.appended: list[AggregateAppend] = []
        self._conflicts = conflicts

    async def load(self, queries: Sequence[StreamQuery]) -> dict[str, LoadedStream]:
        return {query.aggregate_id: self.streams.get(query.aggregate_id, LoadedStream()) for query in queries}

    async def append(self, appends: Sequence[AggregateAppend]) -> dict[str, Refusal]:
        if self._conflicts:
            self._conflicts -= 1
            return {append.aggregate_id: "version" for append in appends}
        self.appended.extend(appends)
        return {}


class Ledger:
    """Counts no attempts."""

    async def count(self, item: Incoming, error: str) -> int:
        return item.attempts

    async def forget(self, items: Sequence[Incoming]) -> None:
        pass


def incoming(command: Command, command_id: str = "") -> Incoming:
    record = SourceRecord("commands", 0, 0, 0, command.aggregate_id.encode(), command.to_json(), ())
    metadata = Metadata(
        message_id=command_id or f"{command.aggregate_id}-{type(command).__name__}", type_name=command.type_name, source="/tests",
        subject=command.aggregate_id, time="2026-05-04T09:30:00Z", tenant_id=command.tenant_id, auth_type="user", auth_id="ann",
        correlation_id="c", causation_id="c",
    )  # fmt: skip
    return Incoming(record, metadata, command.aggregate_id, command.tenant_id, b"12345678", command)


def created(number: int) -> CreateRequest:
    return CreateRequest.model_validate(
        {"tenant_id": "acme", "request_id": f"req-{number}", "customer_id": f"cust-{number:04}", "message": "My invoice is wrong"}
    )


def triaged(number: int) -> TriageRequest:
    return TriageRequest.model_validate(
        {"tenant_id": "acme", "request_id": f"req-{number}", "category": "billing", "priority": 2, "confidence": 0.9}
    )


def group(*commands: Command, mode: AppendMode = AppendMode.APPLY) -> Group:
    return Group(commands[0].aggregate_id, [incoming(command) for command in commands], mode)


def stored(number: int, *, parked: bool = False) -> LoadedStream:
    """The stream of a request that was created."""
    item = incoming(created(number))
    (event,) = create(None, item.command, None)  # type: ignore[arg-type]
    return LoadedStream([StoredEvent(f"req-{number}", 1, 1, event.type_name, encode_stored(item.metadata, event.to_json()))], {}, parked)


async def settle(store: Store, asked: Asked, *groups: Group, needed_by: frozenset[type[Command]] = frozenset({TriageRequest})) -> None:
    decisions: Mapping[type[Command], Any] = {CreateRequest: create, TriageRequest: triage, DeleteRequest: lambda *_: ()}
    ids = count()
    context = BatchContext(
        AggregateType("Request", evolve, decisions, frozenset({CreateRequest})), "rejected", "/agentmesh/requests", "group", "1", NOW,
        "2026-05-04T09:30:00Z", lambda: f"e-{next(ids)}", lambda item, first: None,
    )  # fmt: skip
    declared = ReferenceData(needed_by, key, asked.read)
    reader = ReferenceReader(declared, cast(QueryPort, None))
    metrics = Telemetry.for_tests().metrics
    processor = BatchProcessor(cast(EventStore, store), StateCache(10), Ledger(), metrics, "commands", 3, reader)
    retry = TransientRetry(asyncio.Event(), lambda: None, lambda name, error: None, lambda: 0.0)
    await processor.settle(context, list(groups), [], retry)


def tiers(store: Store) -> dict[str, list[str]]:
    """The tier that each triage was decided on."""
    found: dict[str, list[str]] = {}
    for append in store.appended:
        for event in append.events:
            if b'"reason":"' in event.state:
                found.setdefault(append.aggregate_id, []).append(event.state.split(b'"reason":"')[1].split(b'"')[0].decode())
    return found


async def test_one_query_answers_for_all_aggregates_of_a_batch() -> None:
    store, asked = Store(), Asked()
    store.streams = {f"req-{number}": stored(number) for number in (1, 2, 3)}
    await settle(store, asked, *(group(triaged(number)) for number in (1, 2, 3)), group(created(4)))
    assert asked.queries == [{"cust-0001", "cust-0002", "cust-0003"}]
    assert tiers(store) == {"req-1": ["enterprise"], "req-2": ["free"], "req-3": ["None"]}


async def test_nothing_is_read_when_no_command_of_the_batch_needs_it() -> None:
    store, asked = Store(), Asked()
    await settle(store, asked, group(created(1)), group(created(2)))
    assert (asked.queries, len(store.appended)) == ([], 2)


async def test_a_command_that_creates_says_itself_what_to_ask_for() -> None:
    store, asked = Store(), Asked()
    await settle(store, asked, group(created(1)), needed_by=frozenset({CreateRequest}))
    assert asked.queries == [{"cust-0001"}]


async def test_what_a_command_behind_a_creating_one_needs_is_read_when_the_state_says_so() -> None:
    store, asked = Store(), Asked()
    await settle(store, asked, group(created(1), triaged(1)), group(created(2)))
    # The first round cannot know for whom to ask: `TriageRequest` names no customer.
    assert asked.queries == [{"cust-0001"}]
    assert tiers(store) == {"req-1": ["enterprise"]}
    assert [append.expected_version for append in store.appended if append.aggregate_id == "req-1"] == [0, 1]


async def test_a_conflict_reads_again() -> None:
    store, asked = Store(conflicts=1), Asked()
    store.streams = {"req-1": stored(1)}
    await settle(store, asked, group(triaged(1)))
    assert asked.queries == [{"cust-0001"}, {"cust-0001"}]
    assert tiers(store) == {"req-1": ["enterprise"]}


async def test_a_database_that_is_away_is_waited_for() -> None:
    store, asked = Store(), Asked(failures=1)
    store.streams = {"req-1": stored(1)}
    await settle(store, asked, group(triaged(1)))
    assert len(asked.queries) == 2
    assert tiers(store) == {"req-1": ["enterprise"]}


async def test_a_redriven_command_is_decided_on_what_is_known_now() -> None:
    store, asked = Store(), Asked()
    loaded = stored(1, parked=True)
    loaded.known = {"req-1-TriageRequest": Outcome(OutcomeKind.PARKED, None, 1, None, b"12345678")}
    store.streams = {"req-1": loaded}
    await settle(store, asked, group(triaged(1), mode=AppendMode.REDRIVE))
    assert tiers(store) == {"req-1": ["enterprise"]}


async def test_a_command_for_a_stream_that_is_not_there_asks_for_nothing() -> None:
    store, asked = Store(), Asked()
    await settle(store, asked, group(triaged(1)))
    assert asked.queries == []
    assert [outcome.code for append in store.appended for outcome in append.outcomes] == ["RESOURCE_NOT_FOUND"]


@pytest.mark.parametrize("broken", ["key", "stream"])
async def test_a_defect_parks_its_own_aggregate_alone(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = Store(), Asked()
    store.streams = {"req-1": stored(1), "req-2": stored(2)}
    if broken == "stream":
        store.streams["req-1"].events[0] = store.streams["req-1"].events[0]._replace(state=b'{"data":{}}')
    else:
        monkeypatch.setattr(f"{__name__}.key", failing_key)
    monkeypatch.setattr("infra.runtime.batch.delay_ms", lambda *_: 0)
    await settle(store, asked, group(triaged(1)), group(triaged(2)))
    (parked,) = [append for append in store.appended if append.dead_letters]
    assert parked.aggregate_id == "req-1"
    assert tiers(store) == {"req-2": ["free"]}


def failing_key(state: Customer | None, command: Command) -> Hashable | None:
    assert state is not None
    if state.customer_id == "cust-0001":
        raise RuntimeError("a defect")
    return state.customer_id
