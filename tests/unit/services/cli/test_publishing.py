"""Commands made by hand: names, payloads, what is filled in, and the headers of the contract."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import parse_command
from contracts.requests.commands import ApproveRequest, CreateRequest, TriageRequest
from contracts.upcasting import decode_command
from infra.settings import load_settings
from services.cli import publishing
from services.cli.errors import NotFound, WrongUsage
from services.cli.payload import read_payload
from services.cli.publishing import command_type, complete_payload, operating_user, outgoing_command, parse_payload

SETTINGS = load_settings(topic_prefix="t-x.")
CASE = {"customer_id": "cust-0042", "message": "My invoice of May is wrong"}


def test_a_command_is_found_by_its_short_and_by_its_full_name() -> None:
    assert command_type("CreateRequest") is CreateRequest
    assert command_type("agentmesh.requests.TriageRequest.v1") is TriageRequest


def test_an_unknown_command_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(WrongUsage, match=r"no command 'Create'.*CompleteRequest, .*CreateRequest"):
        command_type("Create")


def test_a_short_name_of_two_contexts_asks_for_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class CreateRequestOfTasks(CreateRequest):
        type_name = "agentmesh.tasks.CreateRequest.v1"

    CreateRequestOfTasks.__name__ = "CreateRequest"
    both = {each.type_name: each for each in (CreateRequest, CreateRequestOfTasks)}
    monkeypatch.setattr(publishing, "COMMANDS", both)
    with pytest.raises(WrongUsage, match=r"agentmesh\.requests\.CreateRequest\.v1, agentmesh\.tasks\.CreateRequest\.v1"):
        command_type("CreateRequest")


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "1", "[" * 100_000])
def test_a_payload_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="The payload is not"):
        parse_payload(text)


def test_tenant_and_aggregate_id_are_filled_in() -> None:
    payload = complete_payload(CreateRequest, CASE, tenant=None, key=None)
    assert payload["tenant_id"] == "default"
    assert payload["request_id"].startswith("req-")
    assert complete_payload(CreateRequest, CASE, tenant="acme", key="req-7") == {**CASE, "tenant_id": "acme", "request_id": "req-7"}


def test_what_is_given_stays() -> None:
    given = {**CASE, "tenant_id": "acme", "request_id": "req-1"}
    assert complete_payload(CreateRequest, given, tenant="acme", key="another-key") == given


@pytest.mark.parametrize(
    ("command", "payload", "tenant", "message"),
    [
        (CreateRequest, {"tenant_id": "acme"}, "globex", "contradicts"),
        (TriageRequest, {}, None, "TriageRequest needs request_id"),
        (CreateRequest, {"request_id": ""}, None, "request_id is empty"),
        (CreateRequest, {"request_id": None}, None, "request_id is empty"),
    ],
)
def test_what_contradicts_itself_is_refused(command: Any, payload: dict[str, Any], tenant: str | None, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        complete_payload(command, payload, tenant=tenant, key=None)


def test_a_command_carries_the_headers_of_the_contract() -> None:
    payload = complete_payload(CreateRequest, CASE, tenant="acme", key=None)
    outgoing = outgoing_command(SETTINGS, CreateRequest, payload)
    record = outgoing.record
    assert record.topic == "t-x.agentmesh.requests.commands.v1"
    assert record.key.decode() == outgoing.aggregate_id == payload["request_id"]
    metadata, data = parse_command(record.key, record.value, record.headers, 0)
    assert decode_command(metadata.type_name, data).aggregate_id == outgoing.aggregate_id
    assert (metadata.message_id, metadata.source, metadata.subject) == (outgoing.command_id, "/agentmesh/cli", outgoing.aggregate_id)
    assert (metadata.auth_type, metadata.auth_id, metadata.tenant_id) == ("user", operating_user(), "acme")
    assert metadata.correlation_id == metadata.causation_id == outgoing.command_id
    assert metadata.traceparent is None, "nobody here records a trace, so none is claimed"
    assert {"ce_specversion", "ce_time", "content-type"} <= {name for name, _ in record.headers}


def test_a_named_actor_stands_for_the_user() -> None:
    record = outgoing_command(SETTINGS, ApproveRequest, {"request_id": "req-1", "tenant_id": "acme"}, actor="ada").record
    metadata, _ = parse_command(record.key, record.value, record.headers, 0)
    assert (metadata.auth_type, metadata.auth_id) == ("user", "ada")


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_an_actor_that_no_header_can_hold_is_refused(name: str) -> None:
    with pytest.raises(WrongUsage, match="--as"):
        outgoing_command(SETTINGS, ApproveRequest, {"request_id": "req-1"}, actor=name)


def test_a_given_key_and_id_are_used() -> None:
    outgoing = outgoing_command(SETTINGS, CreateRequest, {"request_id": "req-1"}, key="other", command_id="mine")
    assert (outgoing.record.key, outgoing.command_id, outgoing.aggregate_id) == (b"other", "mine", "req-1")


@pytest.mark.parametrize(
    ("payload", "message"),
    [({"message": "x" * 1_000_000}, "the broker takes"), ({"message": "\ud800"}, "UTF-8"), ({"a": float("nan")}, "JSON")],
)
def test_what_the_broker_cannot_take_is_refused(payload: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        outgoing_command(SETTINGS, CreateRequest, payload)


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(publishing.getpass, "getuser", fail)
    assert operating_user() == "unknown"


def test_a_payload_comes_from_the_argument_a_file_or_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO('{"a": "ä"}'.encode())))
    assert read_payload("-") == '{"a": "ä"}'
    file = tmp_path / "case.json"
    file.write_text(json.dumps(CASE))
    assert read_payload('{"a": 1}') == '{"a": 1}'
    assert json.loads(read_payload(f"@{file}")) == CASE
    with pytest.raises(NotFound, match="cannot be read"):
        read_payload(f"@{tmp_path / 'absent'}")
    file.write_bytes(b"\xff")
    with pytest.raises(WrongUsage, match="not UTF-8"):
        read_payload(f"@{file}")
