"""Dead letters to and from rows: the JSON that append takes, and the rows that the store answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson

from infra.event_store.base import DeadLetter, NewDeadLetter, SourceRecord

MAX_STACK_CHARACTERS = 16_000
MAX_MESSAGE_CHARACTERS = 2_000


def encode_headers(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Kafka headers as one JSON value; bytes in base64, so that nothing is lost."""
    return orjson.dumps([[printable(name), base64.b64encode(value or b"").decode()] for name, value in headers])


def decode_headers(stored: bytes) -> tuple[tuple[str, bytes], ...]:
    """The inverse of `encode_headers`."""
    return tuple((name, base64.b64decode(value)) for name, value in orjson.loads(stored))


def printable(text: str) -> str:
    """The text without NUL and lone surrogates, which neither jsonb nor UTF-8 can hold."""
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def parked_json(rows: Sequence[tuple[int, NewDeadLetter]]) -> bytes:
    """The dead letters of an append; each carries its place in the list, as the function expects."""
    return orjson.dumps([_parked_row(place, letter) for place, (_, letter) in enumerate(rows, start=1)])


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _parked_row(place: int, letter: NewDeadLetter) -> dict[str, Any]:
    record = letter.record
    return {
        "ord": place,
        "command_id": letter.command_id,
        "type_name": letter.type_name,
        "topic": record.topic,
        "partition": record.partition,
        "record_offset": record.offset,
        "record_timestamp": record.timestamp,
        "record_key": _base64(record.key),
        "record_value": _base64(record.value),
        "record_headers": _base64(encode_headers(record.headers)),
        "consumer_group": letter.consumer_group,
        "cause": letter.cause.value,
        "error_type": printable(letter.error_type),
        "error_message": printable(letter.error_message)[:MAX_MESSAGE_CHARACTERS],
        "stack": printable(letter.stack)[-MAX_STACK_CHARACTERS:],
        "attempts": letter.attempts,
        "handler_version": letter.handler_version,
    }


def dead_letter_from_row(row: Sequence[Any]) -> DeadLetter:
    """A row of dead_letters.sql."""
    (position, aggregate_id, command_id, type_name, topic, partition, offset, timestamp, key, value, headers, *rest) = row
    (group, cause, error_type, message, stack, attempts, handler_version, first_failed_at, status, marked_by, marked_reason) = rest
    return DeadLetter(
        position=position,
        aggregate_id=aggregate_id,
        command_id=command_id,
        type_name=type_name,
        record=SourceRecord(topic, partition, offset, timestamp, key, value, decode_headers(headers)),
        consumer_group=group,
        cause=cause,
        error_type=error_type,
        error_message=message,
        stack=stack,
        attempts=attempts,
        handler_version=handler_version,
        first_failed_at=first_failed_at.isoformat(),
        status=status,
        marked_by=marked_by,
        marked_reason=marked_reason,
    )
