"""Old versions are lifted to today's shape step by step; current ones pass untouched; what nobody knows is said."""

import json
from typing import Any

import pydantic
import pytest

from contracts.message import UndecodableMessage
from contracts.rejections import CommandRejected, rejected_type
from contracts.requests.commands import StartResearch
from contracts.requests.events import RequestCompleted
from contracts.schema_export import EXAMPLES
from contracts.upcasting import UPCASTERS, UnknownMessageType, Upcasters, check_chains, decode_command, decode_event, upcast

CURRENT = RequestCompleted.type_name


def name_resolution(fields: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in fields.items() if name != "answer"}, "resolution": fields["answer"]}


def add_time(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "completed_at": fields.get("completed_at", "2026-01-01T00:00:00Z")}


OLD: Upcasters = {
    "agentmesh.requests.RequestCompleted.v-1": ("agentmesh.requests.RequestCompleted.v0", name_resolution),
    "agentmesh.requests.RequestCompleted.v0": (CURRENT, add_time),
}


def test_an_old_event_is_lifted_through_every_version_to_todays_class() -> None:
    data = json.dumps({"tenant_id": "acme", "request_id": "req-1", "answer": "done"}).encode()
    event = decode_event("agentmesh.requests.RequestCompleted.v-1", data, OLD)
    assert isinstance(event, RequestCompleted)
    assert event.resolution == "done"


def test_a_current_message_is_not_even_looked_at() -> None:
    data = b"not even json"
    assert upcast(CURRENT, data, OLD) == (CURRENT, data)
    assert upcast(CURRENT, data, OLD)[1] is data


def test_old_commands_are_lifted_too() -> None:
    old: Upcasters = {"agentmesh.requests.StartResearch.v0": (StartResearch.type_name, lambda fields: {**fields, "tenant_id": "acme"})}
    command = decode_command("agentmesh.requests.StartResearch.v0", b'{"request_id":"req-1"}', old)
    assert command == StartResearch(tenant_id="acme", request_id="req-1")


def test_current_messages_decode() -> None:
    example = json.dumps(EXAMPLES[StartResearch]).encode()
    assert decode_command(StartResearch.type_name, example) == StartResearch.from_json(example)
    rejected = json.dumps(EXAMPLES[CommandRejected]).encode()
    assert isinstance(decode_event(rejected_type("requests"), rejected), CommandRejected)


@pytest.mark.parametrize("decode", [decode_command, decode_event])
def test_an_unknown_type_name_is_said(decode: Any) -> None:
    with pytest.raises(UnknownMessageType) as caught:
        decode("agentmesh.requests.Nothing.v1", b"{}")
    assert caught.value.type_name == "agentmesh.requests.Nothing.v1"


def test_commands_and_events_are_not_taken_for_each_other() -> None:
    with pytest.raises(UnknownMessageType):
        decode_event(StartResearch.type_name, b"{}")
    with pytest.raises(UnknownMessageType):
        decode_command(CURRENT, b"{}")


@pytest.mark.parametrize(("data", "reason"), [(b"{", "the value is not JSON in UTF-8"), (b"[]", "the value is not a JSON object")])
def test_an_old_message_that_is_no_json_object_is_undecodable(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableMessage) as caught:
        upcast("agentmesh.requests.RequestCompleted.v0", data, OLD)
    assert caught.value.reason == reason


def test_json_that_breaks_the_schema_is_a_validation_error() -> None:
    with pytest.raises(pydantic.ValidationError):
        decode_event(CURRENT, b"{}")


@pytest.mark.parametrize(
    ("upcasters", "fault"),
    [
        ({"a": ("b", dict), "b": ("a", dict)}, "run in a circle"),
        ({"a": ("nowhere", dict)}, "end at the unknown type name"),
        ({CURRENT: ("b", dict)}, "is a current type name"),
    ],
)
def test_a_broken_chain_of_upcasters_is_refused_at_import(upcasters: Upcasters, fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        check_chains(upcasters, {CURRENT: RequestCompleted})


def test_the_published_chains_are_sound() -> None:
    check_chains(UPCASTERS, {CURRENT: RequestCompleted})
    check_chains(OLD, {CURRENT: RequestCompleted})
