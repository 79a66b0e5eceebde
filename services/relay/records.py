"""Turns log entries into Kafka records: events, rejections, and copies of parked records; pure, used by the relay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contracts.envelope import stored_headers
from contracts.topics import WORK_EVENTS, dead_letters_topic, events_topic, rejections_topic, work_route
from infra.event_store.base import DeadLetter, LogEntry
from infra.kafka.producer import BATCH_BYTES, OutgoingRecord

# Of a batch's bytes; the rest is for the headers that a copy adds.
MAX_COPY_BYTES = BATCH_BYTES - 32 * 1024


def outgoing_records(context: str, entries: Sequence[LogEntry], prefix: str) -> Iterator[OutgoingRecord]:
    """The records of a page, in its order. The data of an event is passed on as it was stored, without being parsed."""
    events = prefix + events_topic(context)
    rejections = prefix + rejections_topic(context)
    dead_letters = prefix + dead_letters_topic(context)
    for entry in entries:
        if entry.dead_letter is not None:
            yield dead_letter_record(dead_letters, entry.dead_letter)
            continue
        topic = events if entry.kind == "event" else rejections
        headers, data = stored_headers(entry.type_name, entry.aggregate_id, entry.state, entry.version, entry.position)
        yield OutgoingRecord(topic, entry.aggregate_id.encode(), data, headers)
        if entry.type_name in WORK_EVENTS and (route := work_route(entry.type_name, data)) is not None:
            work, agent_id = route
            yield OutgoingRecord(prefix + work, agent_id.encode(), data, headers)


def dead_letter_record(topic: str, letter: DeadLetter) -> OutgoingRecord:
    """The copy of a parked record: original key, value and headers, and the `dlq.*` headers that say why."""
    record = letter.record
    told = {
        "dlq.original.topic": record.topic,
        "dlq.original.partition": str(record.partition),
        "dlq.original.offset": str(record.offset),
        "dlq.original.timestamp": str(record.timestamp),
        "dlq.consumer.group": letter.consumer_group,
        "dlq.exception.type": letter.error_type,
        "dlq.exception.message": letter.error_message,
        "dlq.attempts": str(letter.attempts),
        "dlq.first_failed_at": letter.first_failed_at,
        "dlq.handler.version": letter.handler_version,
        "dlq.position": str(letter.position),
        "dlq.cause": letter.cause,
    }
    added = [(name, text.encode("utf-8", "backslashreplace")) for name, text in told.items()]
    original = [(name, content) for name, content in record.headers if not name.startswith("dlq.")]
    key, value = record.key or b"", record.value or b""
    # A record that would not fit a batch of the broker with what is added to it is told without its value, or its headers: the table
    # has it whole, and a copy must never stop the relay.
    if len(key) + len(value) + _size(original) > MAX_COPY_BYTES:
        added.append(("dlq.value.omitted", str(len(value)).encode()))
        value = b""
    if len(key) + _size(original) > MAX_COPY_BYTES:
        added.append(("dlq.headers.omitted", str(len(original)).encode()))
        original = []
    return OutgoingRecord(topic, key[:MAX_COPY_BYTES], value, original + added)


def _size(headers: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name) + len(content) + 8 for name, content in headers)
