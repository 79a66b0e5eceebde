"""What a process manager makes of one event: commands in order, with ids that follow from the event, and the envelope of its cause."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import pytest

from contracts.envelope import Metadata, RecordedEvent, command_headers, parse_command
from contracts.message import Command
from contracts.rejections import CommandRejected
from contracts.requests.commands import DeleteRequest, FailRequest, StartResearch
from contracts.requests.events import RequestDeleted, RequestEvent, RequestFailed
from contracts.upcasting import UnknownMessageType
from infra.process_managers.base import COMMAND_IDS, ProcessManager, Reaction, derived_command_id

REQUEST: dict[str, Any] = {"tenant_id": "test-tenant", "request_id": "req-1"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAILED = RequestFailed.from_json(b'{"tenant_id":"test-tenant","request_id":"req-1","reason":"r","failed_at":"2026-05-04T09:30:00Z"}')
DELETED = RequestDeleted.from_json(b'{"tenant_id":"test-tenant","request_id":"req-1","deleted_at":"2026-05-04T09:30:00Z"}')


def start_and_delete(_: RecordedEvent, event: RequestEvent) -> Sequence[Command]:
    return StartResearch(**REQUEST), DeleteRequest(**REQUEST, reason=getattr(event, "reason", None))


def start(_: RecordedEvent, __: RequestEvent) -> Sequence[Command]:
    return (StartResearch(tenant_id="test-tenant", request_id="req-2"),)


def tell(_: RecordedEvent, event: CommandRejected) -> Sequence[Command]:
    return (FailRequest(**REQUEST, reason=event.code),)


def give_up(_: RecordedEvent, event: CommandRejected) -> Sequence[Command]:
    return (FailRequest(**REQUEST, reason=f"given up: {event.code}"),)


def broken(_: RecordedEvent, __: RequestEvent) -> Sequence[Command]:
    raise KeyError("a defect")


MANAGER = ProcessManager(
    name="test-process",
    contexts=("requests",),
    reactions={RequestFailed: (Reaction("first", start_and_delete), Reaction("second", start))},
    commanded=("requests",),
    on_rejection={StartResearch.type_name: Reaction("give-up", give_up), "": Reaction("tell", tell)},
)


def recorded(event: RequestEvent | CommandRejected, type_name: str = "", source: str = "/agentmesh/requests") -> RecordedEvent:
    metadata = Metadata(
        "e-1",
        type_name or event.type_name,
        source,
        "req-1",
        "2026-05-04T09:30:00Z",
        "test-tenant",
        "user",
        "u-1",
        "corr-1",
        "c-0",
        TRACE,
        "a=1",
    )
    return RecordedEvent(metadata, event.to_json(), 4, 11, "requests")


def rejected(command: type[Command], source: str = "/agentmesh/test-process") -> RecordedEvent:
    refusal = CommandRejected(
        tenant_id="test-tenant",  # type: ignore[arg-type]
        aggregate_id="req-1",
        command_id="c-9",  # type: ignore[arg-type]
        command_type=command.type_name,
        error_type="E",
        code="CODE",
        message="m",
    )
    return recorded(refusal, "agentmesh.requests.CommandRejected.v1", source)


def test_the_commands_come_in_the_order_of_the_table_each_with_an_id_of_its_own() -> None:
    found = MANAGER.changes(recorded(FAILED))
    assert [type(each.command) for each in found] == [StartResearch, DeleteRequest, StartResearch]
    assert [each.metadata.message_id for each in found] == [
        derived_command_id("e-1", name, index) for name, index in (("first", 0), ("first", 1), ("second", 0))
    ]
    assert len({each.metadata.message_id for each in found}) == 3


def test_a_derived_id_is_uuid5_of_event_reaction_and_place() -> None:
    assert UUID("6f4f2f0e-6d3c-5b53-9a3e-2f6f0f6b7c11") == COMMAND_IDS, "a release that changes it would send every command twice"
    assert derived_command_id("e-1", "first", 1) == str(uuid5(COMMAND_IDS, "e-1/first/1")) == "9da961e5-491c-5283-b93b-20c20ddfaa2b"


def test_a_command_carries_what_caused_it() -> None:
    (first, second, other) = MANAGER.changes(recorded(FAILED))
    assert second.metadata == Metadata(
        message_id=derived_command_id("e-1", "first", 1),
        type_name="agentmesh.requests.DeleteRequest.v1",
        source="/agentmesh/test-process",
        subject="req-1",
        time="2026-05-04T09:30:00Z",
        tenant_id="test-tenant",
        auth_type="system",
        auth_id="test-process",
        correlation_id="corr-1",
        causation_id="e-1",
        traceparent=TRACE,
        tracestate="a=1",
    )
    assert (first.metadata.subject, other.metadata.subject) == ("req-1", "req-2")


def test_the_headers_of_a_command_are_read_as_they_were_meant() -> None:
    for command, metadata in MANAGER.changes(recorded(FAILED)):
        read, data = parse_command(command.aggregate_id.encode(), command.to_json(), command_headers(metadata), 0)
        assert (read, data) == (metadata, command.to_json())


def test_an_event_without_a_reaction_leads_to_nothing() -> None:
    assert MANAGER.changes(recorded(DELETED)) == []


def test_a_rejection_is_answered_by_the_reaction_of_its_command_and_else_by_the_one_for_all_others() -> None:
    (named,) = MANAGER.changes(rejected(StartResearch))
    (other,) = MANAGER.changes(rejected(DeleteRequest))
    assert [named.command, other.command] == [
        FailRequest(**REQUEST, reason="given up: CODE"),
        FailRequest(**REQUEST, reason="CODE"),
    ]
    assert named.metadata.message_id == derived_command_id("e-1", "give-up", 0)
    assert other.metadata.message_id == derived_command_id("e-1", "tell", 0)


@pytest.mark.parametrize("source", ["unknown", "/agentmesh/other-process", "/agentmesh/requests"])
def test_a_rejection_of_a_command_that_was_not_its_own_leads_to_nothing(source: str) -> None:
    assert MANAGER.changes(rejected(StartResearch, source)) == []


def test_a_rejection_without_a_reaction_leads_to_nothing() -> None:
    plain = ProcessManager("test-process", ("requests",), {})
    assert plain.changes(rejected(StartResearch)) == []
    some = ProcessManager("test-process", ("requests",), {}, ("requests",), {StartResearch.type_name: Reaction("give-up", give_up)})
    assert some.changes(rejected(DeleteRequest)) == []


def test_a_reaction_that_fails_and_an_event_of_an_unknown_type_are_raised() -> None:
    manager = ProcessManager("test-process", ("requests",), {RequestFailed: (Reaction("broken", broken),)})
    with pytest.raises(KeyError):
        manager.changes(recorded(FAILED))
    with pytest.raises(UnknownMessageType):
        manager.changes(recorded(FAILED, "agentmesh.requests.RequestForgotten.v1"))
