"""Turns log entries into Kafka records: events, rejections, and copies of parked records; pure, used by the relay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contracts.envelope import decode_stored, event_headers
from contracts.topics import dead_letters_topic, events_topic, rejections_topic
from infra.event_store.base import DeadLetter, LogEntry
from infra.kafka.producer import OutgoingRecord


def outgoing_records(context: str, entries: Sequence[LogEntry], prefix: str) -> Iterator[OutgoingRecord]:
    """The records of a page, in its order. The data of an event is passed on as it was stored, without being parsed."""
    events = prefix + events_topic(context)
    rejections = prefix + rejections_topic(context)
    dead_letters = prefix + dead_letters_topic(context)
    for entry in entries:
        if entry.dead_letter is not None:
            yield dead_letter_record(dead_letters, entry.dead_letter)
            continue
        metadata, data = decode_stored(entry.type_name, entry.aggregate_id, entry.state)
        topic = events if entry.kind == "event" else rejections
        yield OutgoingRecord(topic, entry.aggregate_id.encode(), data, event_headers(metadata, entry.version, entry.position))


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
    headers = [(name, value) for name, value in record.headers if not name.startswith("dlq.")]
    headers += [(name, value.encode("utf-8", "backslashreplace")) for name, value in told.items()]
    return OutgoingRecord(topic, record.key or b"", record.value or b"", headers)
