"""Turns Kafka records into commands, refusals or unreadable records; pure, run by the command worker on each batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError as PydanticValidationError

from contracts.envelope import Metadata, UnreadableEnvelope, parse_command
from contracts.errors import DomainError, ValidationError, validation_details
from contracts.message import Command
from contracts.topics import MAX_RECORD_BYTES
from contracts.upcasting import UndecodableMessage, UnknownMessageType, decode_command
from infra.event_store.base import payload_hash

MAX_ID_CHARACTERS = 200


class KafkaRecord(Protocol):
    """What the runtime reads of a record: aiokafka's ConsumerRecord and a dead letter's SourceRecord have it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Any: ...


@dataclass(slots=True)
class Incoming:
    """One readable record on its way to an outcome: a command, or the error that refuses it."""

    record: KafkaRecord
    metadata: Metadata
    aggregate_id: str
    tenant_id: str
    payload_hash: bytes
    command: Command | None
    error: DomainError | None = None
    attempts: int = 0
    defect: Exception | None = None
    """Set when trying the record again can only do harm: it killed its worker, or the database refuses what it leads to."""


@dataclass(slots=True)
class Unreadable:
    """A record that nobody can attribute to a command; it is parked alone and blocks no key."""

    record: KafkaRecord
    error_type: str
    reason: str


class UnknownCommandType(DomainError):
    """The type name in ce_type is not a command of this context."""


class RecordTooLarge(DomainError):
    """The record's value is over the limit for commands."""


class EnvelopeMismatch(DomainError):
    """Headers or key contradict the payload."""


def decode_record(record: KafkaRecord, commands: Mapping[str, type[Command]]) -> Incoming | Unreadable:
    """Decode one record of a context whose command types are `commands`. Never raises: what fails in reading it parks the record alone."""
    try:
        return _decode(record, commands)
    except Exception as error:  # a defect of the reader must not stop the records behind this one
        return Unreadable(record, type(error).__name__, f"reading it failed: {error}")


def _decode(record: KafkaRecord, commands: Mapping[str, type[Command]]) -> Incoming | Unreadable:
    try:
        metadata, data = parse_command(record.key, record.value, record.headers, record.timestamp)
    except UnreadableEnvelope as error:
        return Unreadable(record, "UnreadableEnvelope", str(error))
    if len(data) > MAX_RECORD_BYTES:
        return _refused(record, metadata, data, commands, _too_large(len(data)))
    try:
        command = decode_command(metadata.type_name, data)
    except PydanticValidationError as error:
        return _invalid(record, metadata, data, commands, error)
    except UnknownMessageType:
        return _refused(record, metadata, data, commands, _unknown_type(metadata.type_name, commands))
    except UndecodableMessage as error:
        return Unreadable(record, "UndecodableMessage", str(error))
    if command.type_name not in commands:
        return _refused(record, metadata, data, commands, _unknown_type(metadata.type_name, commands))
    aggregate_id = command.aggregate_id
    incoming = Incoming(record, metadata, aggregate_id, command.tenant_id, payload_hash(data), command)
    incoming.error = _mismatch(record.key, metadata, command.tenant_id, aggregate_id)
    if incoming.error is not None:
        incoming.command = None
    return incoming


def _mismatch(key: bytes | None, metadata: Metadata, tenant_id: str, aggregate_id: str) -> DomainError | None:
    if key is None or key.decode("utf-8", "replace") != aggregate_id:
        return EnvelopeMismatch(
            "The record key must be the aggregate's id: send the record again with the id of the payload as its key.",
            code="KEY_MISMATCH",
            details={"field": "key", "rule": "equals the aggregate id", "shape": "none" if key is None else f"{len(key)} bytes"},
        )
    if metadata.subject and metadata.subject != aggregate_id:
        return EnvelopeMismatch(
            "The header ce_subject must be the aggregate's id, or be left out.",
            code="SUBJECT_MISMATCH",
            details={"field": "ce_subject", "rule": "equals the aggregate id", "shape": f"{len(metadata.subject)} characters"},
        )
    if metadata.tenant_id and metadata.tenant_id != tenant_id:
        return EnvelopeMismatch(
            "The header ce_tenantid must equal the payload's tenant_id, or be left out.",
            code="TENANT_MISMATCH",
            details={"field": "ce_tenantid", "rule": "equals tenant_id", "shape": f"{len(metadata.tenant_id)} characters"},
        )
    return None


def _too_large(size: int) -> DomainError:
    return RecordTooLarge(
        f"The record's value has {size} bytes, a command may have at most {MAX_RECORD_BYTES}.",
        code="TOO_LARGE",
        details={"field": "value", "rule": f"at most {MAX_RECORD_BYTES} bytes", "shape": f"{size} bytes"},
    )


def _unknown_type(type_name: str, commands: Mapping[str, type[Command]]) -> DomainError:
    return UnknownCommandType(
        "The header ce_type names no command of this topic.",
        code="UNKNOWN_COMMAND_TYPE",
        details={"field": "ce_type", "rule": "one of: " + ", ".join(sorted(commands)), "shape": f"{len(type_name)} characters"},
    )


def _invalid(
    record: KafkaRecord, metadata: Metadata, data: bytes, commands: Mapping[str, type[Command]], error: PydanticValidationError
) -> Incoming | Unreadable:
    if any(problem["type"] == "json_invalid" for problem in error.errors(include_url=False, include_input=False)):
        return Unreadable(record, "UndecodableMessage", "the value is not JSON in UTF-8")
    details = validation_details(error)
    fields = ", ".join(dict.fromkeys(str(problem["field"]) for problem in details["errors"]))
    refusal = ValidationError(f"The command breaks its schema in: {fields}. See details.", field=fields, details=details)
    return _refused(record, metadata, data, commands, refusal)


def _refused(
    record: KafkaRecord, metadata: Metadata, data: bytes, commands: Mapping[str, type[Command]], error: DomainError
) -> Incoming | Unreadable:
    """A refusal needs an aggregate id for its outcome: the payload's, else the subject, else the key."""
    payload = _payload(data)
    if payload is None:
        return Unreadable(record, "UndecodableMessage", "the value is not a JSON object in UTF-8")
    command_type = commands.get(metadata.type_name)
    candidates = [
        payload.get(command_type.aggregate_field) if command_type is not None else None,
        metadata.subject,
        (record.key or b"").decode("utf-8", "replace"),
    ]
    aggregate_id = next((text for text in candidates if _usable(text)), None)
    if aggregate_id is None:
        return Unreadable(record, error.error_type, f"no aggregate id to record the refusal under: {error.message}")
    tenant = payload.get("tenant_id")
    tenant_id = str(tenant) if _usable(tenant) else metadata.tenant_id or "unknown"
    return Incoming(record, metadata, aggregate_id, tenant_id, payload_hash(data), None, error)


def _usable(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= MAX_ID_CHARACTERS and text.isprintable()


def _payload(data: bytes) -> dict[str, Any] | None:
    """The payload as an object. The standard parser also takes text with a lone surrogate, which is refused by name."""
    try:
        parsed = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
