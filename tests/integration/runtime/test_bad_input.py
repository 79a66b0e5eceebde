"""Bad input through the real broker: each record has exactly one documented outcome, is told where it belongs, and stops no other one.

README's table of outcomes is this table; `python -m tests.integration.runtime.test_bad_input` prints it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from contracts.rejections import rejected_type, rejection_id
from contracts.topics import dead_letters_topic, rejections_topic
from infra.event_store.base import DeadLetter, OutcomeKind
from infra.settings import MeshSettings
from tests.mesh import TENANT, Mesh, create, new_id

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ACCEPTED, ABSORBED, REJECTED, PARKED = "accepted", "absorbed", "rejected", "parked alone"
SAME = "(the request's id)"
WELL, DONE, FOREIGN = "(a pending request)", "(a deleted request)", "(a request of another tenant)"


@dataclass(frozen=True, slots=True)
class Case:
    """One bad (or just good enough) record: a good CreateRequest, changed."""

    name: str
    outcome: str
    code: str = ""
    """The rejection's code; of a parked record the error's type."""
    names: str = ""
    """What the rejection's details must name."""
    type: str | None = "CreateRequest"
    change: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    body: Any = None
    """The whole value, where it is not an object of fields; a function gets the good payload."""
    key: str | None = SAME
    headers: Mapping[str, bytes | None] = field(default_factory=dict)
    target: str = SAME
    under: str = ""
    """The aggregate id of the outcome, where it is not the request's."""
    command_id: str | None = None
    timestamp_ms: int | None = None


def structured(**changes: Any) -> Any:
    """The value of a structured-mode record with some attributes changed; None leaves one out."""

    def body(payload: dict[str, Any]) -> bytes:
        event = {"specversion": "1.0", "id": payload["metadata"]["id"], "type": "agentmesh.requests.CreateRequest.v1", "data": payload}
        return json.dumps({name: value for name, value in {**event, **changes}.items() if value is not None}).encode()

    return body


def padded(size: int) -> Any:
    """A valid payload whose JSON has exactly this many bytes."""
    return lambda payload: json.dumps(payload).encode().ljust(size)


def metadata_of(characters: int) -> dict[str, str]:
    """Metadata with so many characters as compact JSON."""
    return {"note": "x" * (characters - len('{"note":""}'))}


STRUCTURED = {"content-type": b"application/cloudevents+json; charset=utf-8", "ce_id": None, "ce_type": None}
INVALID = "VALIDATION_ERROR"
TRIAGE = {"category": "billing", "priority": 2, "confidence": 0.5}

CASES = (
    # -- who knows which message it is? ------------------------------------------------------------------------------
    Case("value that is not UTF-8", PARKED, "UndecodableMessage", body=b"\xff\xfe\x00"),
    Case("value that is not JSON", PARKED, "UndecodableMessage", body=b"{'single': 'quotes'}"),
    Case("value that is JSON but no object", PARKED, "UndecodableMessage", body=b"[1, 2]"),
    Case("empty value", PARKED, "UndecodableMessage", body=b""),
    Case("no value (tombstone)", PARKED, "UnreadableEnvelope", body=lambda payload: None),
    Case("NaN for a number", REJECTED, INVALID, "priority", body=lambda payload: json.dumps({**payload, "priority": float("nan")}).encode()),  # noqa: E501
    Case("nested 3,000 levels deep", PARKED, "UndecodableMessage", body=b'{"a":' * 3_000 + b"1" + b"}" * 3_000),
    Case("no ce_type", PARKED, "UnreadableEnvelope", headers={"ce_type": None}),
    Case("no ce_id", PARKED, "UnreadableEnvelope", headers={"ce_id": None}),
    Case("empty ce_id", PARKED, "UnreadableEnvelope", headers={"ce_id": b""}),
    Case("ce_specversion other than 1.0", PARKED, "UnreadableEnvelope", headers={"ce_specversion": b"0.3"}),
    Case("a header of ours that is not UTF-8", PARKED, "UnreadableEnvelope", headers={"ce_source": b"\xff"}),
    Case("a header of ours with control characters", PARKED, "UnreadableEnvelope", headers={"ce_correlationid": b"a\x00b"}),
    Case("a header of ours over 1,024 bytes", PARKED, "UnreadableEnvelope", headers={"ce_id": b"x" * 1_025}),
    Case("ce_time that is no RFC 3339 time", PARKED, "UnreadableEnvelope", headers={"ce_time": b"yesterday"}),
    Case("a foreign header that is not UTF-8", ACCEPTED, headers={"x-trace": b"\xff\x00"}),
    Case("a broken traceparent", ACCEPTED, headers={"traceparent": b"00-0-0-zz"}),
    Case("no ce_specversion, no content-type", ACCEPTED, headers={"ce_specversion": None, "content-type": None}),
    Case("a record time before the calendar", ACCEPTED, timestamp_ms=-(10**16), headers={"ce_time": b"2026-05-01T00:00:00Z"}),
    Case("structured mode", ACCEPTED, body=structured(), headers=STRUCTURED),
    Case("structured mode without type", PARKED, "UnreadableEnvelope", body=structured(type=None), headers=STRUCTURED),
    Case("structured mode without data", PARKED, "UnreadableEnvelope", body=structured(data=None), headers=STRUCTURED),
    Case("structured mode that is not JSON", PARKED, "UnreadableEnvelope", body=b"<event/>", headers=STRUCTURED),
    Case("structured mode with an id that is a number", PARKED, "UnreadableEnvelope", body=structured(id=7), headers=STRUCTURED),
    Case("CloudEvents in another format", PARKED, "UnreadableEnvelope", headers={"content-type": b"application/cloudevents+avro"}),
    # -- the envelope against the payload ----------------------------------------------------------------------------
    Case("unknown ce_type", REJECTED, "UNKNOWN_COMMAND_TYPE", "ce_type", type="agentmesh.requests.BurnRequest.v1"),
    Case("ce_type of an event", REJECTED, "UNKNOWN_COMMAND_TYPE", "ce_type", type="agentmesh.requests.RequestCreated.v1"),
    Case("ce_tenantid other than tenant_id", REJECTED, "TENANT_MISMATCH", "ce_tenantid", headers={"ce_tenantid": b"other"}),
    Case("ce_subject other than the aggregate id", REJECTED, "SUBJECT_MISMATCH", "ce_subject", headers={"ce_subject": b"req-other"}),
    Case("key other than the aggregate id", REJECTED, "KEY_MISMATCH", "key", key="req-somebody-else"),
    Case("no key", REJECTED, "KEY_MISMATCH", "key", key=None),
    Case("right ce_tenantid and ce_subject", ACCEPTED, headers={"ce_tenantid": TENANT.encode(), "ce_subject": b"{request}"}),
    Case("value of 262,144 bytes", ACCEPTED, body=padded(262_144)),
    Case("value over 262,144 bytes", REJECTED, "TOO_LARGE", "value", body=padded(262_145)),
    Case("value of 900,000 bytes that is not JSON", PARKED, "UndecodableMessage", body=b"\xff" * 900_000),
    # -- fields ------------------------------------------------------------------------------------------------------
    Case("unknown field", REJECTED, INVALID, "shoe_size", change={"shoe_size": 44}),
    Case("missing field", REJECTED, INVALID, "message", without=("message",)),
    Case("no tenant_id", REJECTED, INVALID, "tenant_id", without=("tenant_id",)),
    Case("no request_id: recorded under the key", REJECTED, INVALID, "request_id", without=("request_id",)),
    Case("neither request_id nor key", PARKED, "ValidationError", without=("request_id",), key=None),
    Case("request_id with control characters: under the key", REJECTED, INVALID, "request_id", change={"request_id": "req-\u0001"}),
    Case("text with a lone surrogate", REJECTED, INVALID, "message", change={"message": "\ud800"}),
    Case("customer_id of 7 characters", REJECTED, INVALID, "customer_id", change={"customer_id": "cust-12"}),
    Case("customer_id of 8 characters", ACCEPTED, change={"customer_id": "cust-123"}),
    Case("customer_id of another pattern", REJECTED, INVALID, "customer_id", change={"customer_id": "customer-0042"}),
    Case("priority 0", REJECTED, INVALID, "priority", change={"priority": 0}),
    Case("priority 5", REJECTED, INVALID, "priority", change={"priority": 5}),
    Case("priority true", REJECTED, INVALID, "priority", change={"priority": True}),
    Case('priority "2"', REJECTED, INVALID, "priority", change={"priority": "2"}),
    Case("priority null means 2", ACCEPTED, change={"priority": None}),
    Case("unknown category", REJECTED, INVALID, "category", change={"category": "weather"}),
    Case("message of 10,001 characters", REJECTED, INVALID, "message", change={"message": "x" * 10_001}),
    Case("message of 10,000 characters", ACCEPTED, change={"message": "x" * 10_000}),
    Case("empty message", REJECTED, INVALID, "message", change={"message": ""}),
    Case("message of white space only", REJECTED, INVALID, "message", change={"message": " \t\n "}),
    Case("message with NUL", REJECTED, INVALID, "message", change={"message": "a\0b"}),
    Case("message with <script", REJECTED, INVALID, "message", change={"message": "hello hello hello <SCRIPT src=x"}),
    Case("message with javascript:", REJECTED, INVALID, "message", change={"message": "click javascript:alert"}),
    Case("message with onerror=", REJECTED, INVALID, "message", change={"message": "picture OnError=go"}),
    Case("message with onclick=", REJECTED, INVALID, "message", change={"message": "button onclick=go"}),
    Case("message with 30 % symbols", ACCEPTED, change={"message": "abcdefg!!!"}),
    Case("message with over 30 % symbols", REJECTED, INVALID, "message", change={"message": "abcdef!!!"}),
    Case("metadata of 10,000 characters", ACCEPTED, change={"metadata": metadata_of(10_000)}),
    Case("metadata of 10,001 characters", REJECTED, INVALID, "metadata", change={"metadata": metadata_of(10_001)}),
    Case("metadata that is a list", REJECTED, INVALID, "metadata", change={"metadata": []}),
    Case("refund with priority 1", REJECTED, INVALID, "priority", change={"category": "refund", "priority": 1}),
    Case("refund with priority 2", ACCEPTED, change={"category": "refund", "priority": 2}),
    Case("timestamp without a zone", REJECTED, INVALID, "timestamp", change={"timestamp": "2026-05-01T10:00:00"}),
    # -- the state ---------------------------------------------------------------------------------------------------
    Case("command for a request that does not exist", REJECTED, "RESOURCE_NOT_FOUND", "resource_id", type="TriageRequest", body=TRIAGE),
    Case("command for another tenant's request", REJECTED, "RESOURCE_NOT_FOUND", "resource_id", type="TriageRequest", body=TRIAGE,
         target=FOREIGN),
    Case("command for a deleted request", REJECTED, "RESOURCE_NOT_FOUND", "resource_id", type="TriageRequest", body=TRIAGE, target=DONE),
    Case("command in the wrong state", REJECTED, "BUSINESS_RULE_VIOLATION", "rule", type="CompleteRequest",
         body={"resolution": "done"}, target=WELL),
    Case("CreateRequest for a request that exists", REJECTED, "BUSINESS_RULE_VIOLATION", "rule", target=WELL),
    Case("the same ce_id with the same payload", ABSORBED, target=WELL, command_id="well-create"),
    Case("the same ce_id with another payload", ABSORBED, target=WELL, command_id="well-create", change={"message": "Something else"}),
)  # fmt: skip


@dataclass(slots=True)
class Sent:
    """A record that was published, and what it is expected to come to."""

    case: Case
    aggregate_id: str
    command_id: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int = 0
    offset: int = 0


def build(case: Case, targets: Mapping[str, str], number: int) -> Sent:
    """The record of a case."""
    request = targets.get(case.target) or new_id()
    command_id = case.command_id or f"c-{number}"
    payload: dict[str, Any] = create(request)
    if case.command_id is None:
        payload["metadata"] = {"id": command_id}
    if isinstance(case.body, dict):
        payload = {"tenant_id": TENANT, "request_id": request, **case.body}
    payload = {name: value for name, value in {**payload, **case.change}.items() if name not in case.without}
    value = case.body(payload) if callable(case.body) else case.body if isinstance(case.body, bytes) else json.dumps(payload).encode()
    type_name = case.type if case.type and "." in case.type else f"agentmesh.requests.{case.type}.v1"
    named: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": command_id.encode(),
        "ce_type": type_name.encode(),
        "ce_source": b"/tests/bad-input",
        "content-type": b"application/json",
        **{name: content and content.replace(b"{request}", request.encode()) for name, content in case.headers.items()},
    }
    key = None if case.key is None else (request if case.key == SAME else case.key).encode()
    return Sent(case, case.under or request, command_id, key, value, [(name, text) for name, text in named.items() if text is not None])


async def prepared(mesh: Mesh) -> dict[str, str]:
    """Requests in the states that the cases need."""
    targets = {WELL: new_id(), DONE: new_id(), FOREIGN: new_id()}
    await mesh.do("CreateRequest", targets[WELL], create(targets[WELL]), command_id="well-create")
    await mesh.do("CreateRequest", targets[DONE], create(targets[DONE]))
    await mesh.do("DeleteRequest", targets[DONE], {})
    await mesh.do("CreateRequest", targets[FOREIGN], create(targets[FOREIGN], tenant_id="another-tenant"))
    return targets


async def publish(mesh: Mesh, sent: Sent) -> None:
    assert mesh._producer is not None
    placed = await mesh._producer.send_and_wait(
        mesh.commands_topic, sent.value, key=sent.key, headers=sent.headers, timestamp_ms=sent.case.timestamp_ms
    )
    sent.partition, sent.offset = placed.partition, placed.offset


async def test_each_bad_input_has_its_one_outcome_and_stops_no_other_record(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        targets = await prepared(mesh)
        before = sum((await mesh.committed()).values())
        head = await mesh.store.head()
        every = [build(case, targets, number) for number, case in enumerate(CASES)]
        for sent in every:
            await publish(mesh, sent)
        # Behind all of it: a good command for each key that was refused or parked must go through.
        keys = [sent.aggregate_id for sent in every if sent.case.outcome in (REJECTED, PARKED) and sent.case.target == SAME]
        for key in keys:
            await mesh.publish("CreateRequest", key, create(key), command_id="after")
        for key in keys:
            assert (await mesh.outcome(key, "after")).kind is OutcomeKind.EVENTS
        await mesh.all_committed(before + len(every) + len(keys))
        expected = [sent.case.outcome for sent in every]
        assert await mesh.store.head() - head == len(keys) + sum(expected.count(kind) for kind in (ACCEPTED, REJECTED, PARKED))
        told = await mesh.records(rejections_topic("requests"), count=expected.count(REJECTED))
        copies = await mesh.records(dead_letters_topic("requests"), count=expected.count(PARKED))
        rejections = {dict(record.headers)["ce_causationid"].decode(): record for record in told}
        parked = {(letter.record.partition, letter.record.offset): letter for letter in await mesh.letters()}
        copied = {dict(copy.headers)["dlq.position"].decode(): copy for copy in copies}
        assert (len(rejections), len(parked), len(copied)) == (len(told), len(copies), len(copies))
        problems = []
        for sent in every:
            try:
                letter = parked.get((sent.partition, sent.offset))
                copy = None if letter is None else copied[str(letter.position)]
                await check(mesh, sent, rejections.get(sent.command_id), letter, copy)
            except (AssertionError, KeyError) as problem:
                problems.append(f"{sent.case.name}: {problem!r}")
        assert problems == []


async def check(mesh: Mesh, sent: Sent, told: ConsumerRecord | None, letter: DeadLetter | None, copy: ConsumerRecord | None) -> None:
    """The record's outcome, and that it has no other one."""
    assert (told is not None, letter is not None) == (sent.case.outcome == REJECTED, sent.case.outcome == PARKED)
    if told is not None:
        await check_rejected(mesh, sent, told)
    elif letter is not None and copy is not None:
        await check_parked(mesh, sent, letter, copy)
    elif sent.case.outcome == ACCEPTED:
        await check_accepted(mesh, sent)
    else:
        kind, _, position = await outcome_of(mesh, sent)
        assert (kind, position) == ("events", 1)


async def outcome_of(mesh: Mesh, sent: Sent) -> tuple[str, str | None, int | None]:
    found = (await mesh.store.outcomes([(sent.aggregate_id, sent.command_id)]))[sent.aggregate_id, sent.command_id]
    return str(found.kind), found.code, found.position


async def check_accepted(mesh: Mesh, sent: Sent) -> None:
    kind, code, _ = await outcome_of(mesh, sent)
    assert (kind, code) == ("events", None)
    (event,) = await mesh.store.read_stream(sent.aggregate_id)
    assert event.metadata.causation_id == sent.command_id
    assert json.loads(event.data)["priority"] == 2


async def check_rejected(mesh: Mesh, sent: Sent, record: ConsumerRecord) -> None:
    """The outcome, and the record on the rejections topic with all its headers."""
    kind, code, position = await outcome_of(mesh, sent)
    assert (kind, code) == ("rejected", sent.case.code)
    headers = {name: text.decode() for name, text in record.headers}
    body = json.loads(record.value)
    assert record.key.decode() == sent.aggregate_id == headers["ce_subject"]
    assert headers["ce_type"] == rejected_type("requests")
    assert headers["ce_id"] == rejection_id(sent.command_id)
    assert headers["ce_correlationid"] == headers["ce_causationid"] == sent.command_id
    assert headers["ce_source"] == "/tests/bad-input"
    assert headers["ce_position"] == str(position)
    assert "ce_sequence" not in headers
    assert (headers["ce_specversion"], headers["content-type"]) == ("1.0", "application/json")
    assert (body["code"], body["command_id"], body["aggregate_id"]) == (sent.case.code, sent.command_id, sent.aggregate_id)
    assert body["message"] and body["error_type"]  # noqa: PT018
    assert sent.case.names in json.dumps(body["details"])
    assert "SCRIPT src" not in record.value.decode(), "the hostile value is told on"


async def check_parked(mesh: Mesh, sent: Sent, letter: DeadLetter, copy: ConsumerRecord) -> None:
    """The dead letter, and its copy with the original's key, value and headers and the `dlq.*` headers."""
    assert (letter.cause, letter.error_type, letter.attempts) == ("undecodable", sent.case.code, 1)
    assert (letter.aggregate_id, letter.command_id) == (None, None)
    assert (letter.record.key, letter.record.value) == (sent.key, sent.value)
    assert list(letter.record.headers) == sent.headers
    assert (copy.key or None, copy.value or None) == (sent.key or None, sent.value or None)
    assert [item for item in copy.headers if not item[0].startswith("dlq.")] == sent.headers
    told = {name: text.decode() for name, text in copy.headers if name.startswith("dlq.")}
    assert told == {
        "dlq.original.topic": mesh.commands_topic,
        "dlq.original.partition": str(sent.partition),
        "dlq.original.offset": str(sent.offset),
        "dlq.original.timestamp": str(letter.record.timestamp),
        "dlq.consumer.group": mesh.settings.topic_prefix + "agentmesh.requests",
        "dlq.exception.type": sent.case.code,
        "dlq.exception.message": letter.error_message,
        "dlq.attempts": "1",
        "dlq.first_failed_at": letter.first_failed_at,
        "dlq.handler.version": mesh.telemetry.version,
        "dlq.position": str(letter.position),
        "dlq.cause": "undecodable",
    }
    assert letter.error_message


def table() -> str:
    """The outcomes as a markdown table."""
    rows = ["| input | outcome | code |", "|---|---|---|"]
    for case in CASES:
        code = "" if not case.code else f"`{case.code}`" + (f" ({case.names})" if case.names else "")
        rows.append(f"| {case.name} | {case.outcome} | {code} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
