"""The committed schemas are those of the code, the AsyncAPI document is complete, and a breaking change is never written over them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import Metadata, command_headers, event_headers
from contracts.fleet import FLEET_MESSAGES
from contracts.registry import COMMANDS, EVENTS, REJECTIONS
from contracts.topics import CONTEXTS, FLEET_TOPIC, HEALTH_TOPIC, WORK_EVENTS, topics, work_topic_spec
from infra.asyncapi import __main__ as command
from infra.asyncapi import export
from infra.asyncapi.document import build_document
from infra.asyncapi.export import DOCUMENT, SCHEMAS, IncompatibleChange, incompatible_changes, recorded_schemas, rendered, write


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_document()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A copy of the committed schemas, to be changed at will."""
    return Path(shutil.copytree(SCHEMAS, tmp_path / "schemas"))


def test_the_committed_files_are_those_of_the_code() -> None:
    committed = {path.relative_to(SCHEMAS).as_posix(): path.read_text("utf-8") for path in SCHEMAS.rglob("*.json")}
    assert committed == rendered(), "run: python -m infra.asyncapi"


def test_the_code_breaks_no_committed_promise() -> None:
    current = {path: json.loads(text) for path, text in rendered().items() if path != DOCUMENT}
    assert incompatible_changes(recorded_schemas(SCHEMAS), current) == []


def test_the_document_is_the_same_each_time_it_is_built(document: dict[str, Any]) -> None:
    assert json.dumps(build_document()) == json.dumps(document)


def test_every_public_topic_is_one_channel_with_its_kafka_settings(document: dict[str, Any]) -> None:
    public = {spec.name: spec for spec in topics() if spec.name != HEALTH_TOPIC} | {"work": work_topic_spec("{kind}")}
    assert set(document["channels"]) == set(public)
    for name, channel in document["channels"].items():
        binding = channel["bindings"]["kafka"]
        assert channel["address"] == binding["topic"] == public[name].name
        assert binding["partitions"] == public[name].partitions
        assert binding["topicConfiguration"]["cleanup.policy"] == [public[name].cleanup_policy]
        assert binding["topicConfiguration"]["retention.ms"] == public[name].retention_ms


def test_every_message_is_there_with_key_headers_correlation_and_payload(document: dict[str, Any]) -> None:
    messages = {message["name"]: message for message in document["components"]["messages"].values()}
    assert set(messages) == {*COMMANDS, *EVENTS, *REJECTIONS, *FLEET_MESSAGES, "DeadLetter"}
    for name in (*COMMANDS, *EVENTS, *REJECTIONS):
        message = messages[name]
        assert message["correlationId"] == {"location": "$message.header#/ce_correlationid"}
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
        assert message["headers"]["properties"]["ce_type"] == {"const": name}
        assert message["examples"][0]["payload"]


def test_the_mesh_receives_commands_and_sends_everything_else(document: dict[str, Any]) -> None:
    actions = {name: operation["action"] for name, operation in document["operations"].items()}
    kinds = {"commands": "receive", "events": "send", "rejections": "send", "dlq": "send"}
    contexts = {f"agentmesh.{context}.{kind}.v1": action for context in CONTEXTS for kind, action in kinds.items()}
    assert actions == {**contexts, "work": "send", FLEET_TOPIC: "send"}


def test_the_work_topics_and_the_fleet_topic_are_described(document: dict[str, Any]) -> None:
    channels, components = document["channels"], document["components"]
    assert channels["work"]["address"] == "agentmesh.work.{kind}.v1"
    assert set(channels["work"]["parameters"]) == {"kind"}
    work = [components["messages"][name] for name in channels["work"]["messages"]]
    assert {message["name"] for message in work} == WORK_EVENTS
    assert {message["bindings"]["kafka"]["key"]["description"] for message in work} == {"The id of the agent that has or had the task."}
    fleet = [components["messages"][name] for name in channels[FLEET_TOPIC]["messages"]]
    assert {message["name"] for message in fleet} == set(FLEET_MESSAGES)
    assert components["schemas"]["HostHeartbeat"]["properties"]["running"]["items"] == {"$ref": "#/components/schemas/RunningTask"}
    assert components["schemas"]["RunningTask"]["properties"]["attempt"]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert found
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_payloads_are_objects_and_never_lists_of_anything(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in (*COMMANDS, *EVENTS):
        assert schemas[name.split(".")[2]]["type"] == "object"
        assert schemas[name.split(".")[2]]["properties"]["tenant_id"]


def test_the_header_schemas_describe_what_the_envelope_writes(document: dict[str, Any]) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    metadata = Metadata("i", "t", "s", "a", "2026-05-04T09:30:00Z", "acme", "user", "u", "c", "c", trace, "v=1")
    schemas = document["components"]["schemas"]
    assert {name for name, _ in event_headers(metadata, 1, 1)} == set(schemas["EventHeaders"]["properties"])
    assert {name for name, _ in command_headers(metadata)} == set(schemas["CommandHeaders"]["properties"])
    least = {name for name, _ in event_headers(metadata._replace(tenant_id="", traceparent=None), 0, 1)}
    assert least == set(schemas["EventHeaders"]["required"])


# --- writing ----------------------------------------------------------------------------------------------------------


def test_writing_again_changes_nothing(published: Path) -> None:
    assert write(published) == []


def test_a_missing_or_stale_file_is_written(published: Path) -> None:
    (published / "requests" / "StartResearch.v1.json").unlink()
    (published / DOCUMENT).write_text("{}")
    assert sorted(write(published)) == [DOCUMENT, "requests/StartResearch.v1.json"]
    assert write(published) == []


def test_the_first_export_makes_its_folders(tmp_path: Path) -> None:
    assert len(write(tmp_path / "new")) == len(rendered())


def test_an_incompatible_change_is_refused_and_nothing_is_written(published: Path) -> None:
    path = published / "requests" / "CompleteRequest.v1.json"
    promised = json.loads(path.read_text())
    promised["properties"]["note"] = {"type": "string"}
    path.write_text(json.dumps(promised))
    (published / DOCUMENT).unlink()
    with pytest.raises(IncompatibleChange, match=r"CompleteRequest\.v1\.json: note was removed or renamed"):
        write(published)
    assert not (published / DOCUMENT).exists()


def test_a_removed_message_is_an_incompatible_change() -> None:
    assert incompatible_changes({"requests/Gone.v1.json": {}}, {}) == ["requests/Gone.v1.json: the message was removed"]


def test_the_command_says_what_it_did(published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "write", lambda: export.write(published))
    assert command.main() == 0
    assert capsys.readouterr().out == "the schemas are up to date\n"
    (published / DOCUMENT).unlink()
    assert command.main() == 0
    assert capsys.readouterr().out == "wrote contracts/schemas/asyncapi.json\n"
    (published / "requests" / "Gone.v1.json").write_text("{}")
    assert command.main() == 1
    assert "the message was removed" in capsys.readouterr().err
