"""Decides the commands of one aggregate and prepares what is appended for them; pure but for the ids and the time passed in."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from contracts.envelope import Metadata, encode_stored
from contracts.errors import DomainError
from contracts.ids import CommandId, TenantId
from contracts.json_object import freeze_object
from contracts.message import Command
from contracts.rejections import CommandRejected, rejection_id
from contracts.topics import MAX_EVENT_BYTES
from contracts.upcasting import decode_event
from infra.event_store.base import (
    AggregateAppend,
    AppendMode,
    LoadedStream,
    NewDeadLetter,
    NewEvent,
    NewOutcome,
    NewRejection,
    OutcomeKind,
    ParkCause,
    SourceRecord,
)
from infra.runtime.base import AggregateType, DecisionContext, Duration, ReferenceData
from infra.runtime.decode import Incoming, KafkaRecord, RecordTooLarge


class CachedState(NamedTuple):
    """An aggregate's state at a version of its stream; the append proves that the version is still the last one."""

    state: Any
    version: int
    trace: str | None = None
    """The `traceparent` of the stream's first event: where the aggregate's trace is found."""


NEW_AGGREGATE = CachedState(None, 0)
LAST_TIMESTAMP_MS = 253_402_300_799_000
"""The last second of the year 9999."""


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What is the same for all decisions of a batch."""

    aggregate_type: AggregateType
    rejected_type: str
    event_source: str
    consumer_group: str
    handler_version: str
    now: datetime
    recorded_time: str
    new_event_id: Callable[[], str]
    traceparent: Callable[[Incoming, str | None], str | None]
    """(command, the traceparent of its aggregate's first event) -> that of what follows from it"""


class References(NamedTuple):
    """What was read of other contexts for the commands of a batch."""

    declared: ReferenceData
    values: Mapping[Hashable, Any]


class ReferenceNotRead(Exception):
    """A command before this one in the batch made the state that says what to ask for: it waits until that is read."""


@dataclass(slots=True)
class Decision:
    """What one aggregate's commands came to. `waiting` are the commands from the first defect on, or from the first one on for which
    there is more to read; they are decided again later."""

    append: AggregateAppend
    after: CachedState
    settled: list[Incoming] = field(default_factory=list)
    duplicates: list[tuple[Incoming, bool]] = field(default_factory=list)
    """Commands that had an outcome already; True when they came with another payload."""
    waiting: list[Incoming] = field(default_factory=list)
    defect: BaseException | None = None
    durations: list[Duration] = field(default_factory=list)
    """What came to its end with these events; told when they are committed."""

    @property
    def to_append(self) -> bool:
        """Whether something is to be written: outcomes, or the end of a redrive whose command has its outcome already."""
        return bool(self.append.outcomes) or (self.append.mode is AppendMode.REDRIVE and not self.waiting)


def rebuild(aggregate_type: AggregateType, cached: CachedState, loaded: LoadedStream) -> CachedState:
    """Fold the loaded events onto the cached state. Raises what a broken event raises: a defect of this aggregate."""
    state, version, trace = cached
    for stored in loaded.events:
        head, data = split_stored(stored.state)
        if version == 0:
            trace = _traceparent_in(head)
        state = aggregate_type.evolve(state, decode_event(stored.type_name, data))
        version = stored.version
    return CachedState(state, version, trace)


def split_stored(state: bytes) -> tuple[bytes, bytes]:
    """Head and data of a stored event, cut without parsing; the data is the last member of the JSON object."""
    head, _, data = state.partition(b',"data":')
    return head, data[:-1]


def _traceparent_in(head: bytes) -> str | None:
    _, found, rest = head.partition(b'"traceparent":"')
    return rest.partition(b'"')[0].decode("ascii", "replace") if found else None


def decide_aggregate(
    context: BatchContext,
    aggregate_id: str,
    items: Sequence[Incoming],
    loaded: LoadedStream,
    cached: CachedState,
    *,
    attempts_before_parking: int,
    mode: AppendMode = AppendMode.APPLY,
    head: int = 0,
    references: References | None = None,
) -> Decision:
    """Decide commands in order. Known command ids are taken out first; a defect stops the aggregate, or parks it after its last attempt."""
    append = AggregateAppend(aggregate_id, cached.version, mode, head)
    decision = Decision(append, cached)
    append.expected_version = _last_version(cached, loaded)
    todo = _take_out_known(decision, items, loaded)
    if mode is AppendMode.APPLY and loaded.parked:
        append.mode = AppendMode.BEHIND
        for item in todo:
            _park(context, decision, item, ParkCause.BEHIND, None)
        return decision
    try:
        cached = rebuild(context.aggregate_type, cached, loaded)
    except Exception as error:
        return _defect(context, decision, todo, error, attempts_before_parking)
    decision.after = cached
    for index, item in enumerate(todo):
        try:
            decision.after = _decide_one(context, decision, item, references)
        except ReferenceNotRead:
            decision.waiting = todo[index:]
            return decision
        except Exception as error:
            return _defect(context, decision, todo[index:], error, attempts_before_parking)
        decision.settled.append(item)
    return decision


def _last_version(cached: CachedState, loaded: LoadedStream) -> int:
    return loaded.events[-1].version if loaded.events else cached.version


def _take_out_known(decision: Decision, items: Sequence[Incoming], loaded: LoadedStream) -> list[Incoming]:
    redriven = decision.append.mode is AppendMode.REDRIVE
    seen: dict[str, bytes] = {}
    todo = []
    for item in items:
        command_id = item.metadata.message_id
        known = loaded.known.get(command_id)
        if known is not None and not (redriven and known.kind is OutcomeKind.PARKED):
            decision.duplicates.append((item, known.payload_hash != item.payload_hash))
        elif command_id in seen:
            decision.duplicates.append((item, seen[command_id] != item.payload_hash))
        else:
            seen[command_id] = item.payload_hash
            todo.append(item)
    return todo


def _defect(context: BatchContext, decision: Decision, items: list[Incoming], error: Exception, limit: int) -> Decision:
    if not items:
        return decision
    first = items[0]
    if first.defect is None:  # else it was not tried again
        first.attempts += 1
    decision.defect = error
    if first.attempts < limit and decision.append.mode is not AppendMode.REDRIVE:
        decision.waiting = items
        return decision
    _park(context, decision, first, ParkCause.DEFECT, error)
    for item in items[1:]:
        _park(context, decision, item, ParkCause.BEHIND, None)
    return decision


def _decide_one(context: BatchContext, decision: Decision, item: Incoming, references: References | None) -> CachedState:
    append = decision.append
    events: Sequence[NewEvent] = ()
    after = decision.after
    error = item.error
    if item.defect is not None:
        raise item.defect
    if error is None and item.command is not None:
        try:
            events, after, durations = _events_of(context, item, decision.after, references)
            decision.durations.extend(durations)
        except DomainError as refusal:
            error = refusal
    if error is not None:
        append.rejections.append(NewRejection(item.metadata.message_id, _rejection(context, item, after.trace, error)))
        append.outcomes.append(_outcome(append, item, OutcomeKind.REJECTED, error.code, after.version))
        return decision.after
    append.events.extend(events)
    kind = OutcomeKind.EVENTS if events else OutcomeKind.UNCHANGED
    append.outcomes.append(_outcome(append, item, kind, None, after.version))
    return after


def _outcome(append: AggregateAppend, item: Incoming, kind: OutcomeKind, code: str | None, version: int) -> NewOutcome:
    return NewOutcome(item.metadata.message_id, kind, code, version, len(append.events), len(append.rejections), item.payload_hash)


def _reference(references: References | None, state: Any, command: Command) -> Any:
    """What was read for this command on this state; None where nothing is asked for. Raises ReferenceNotRead."""
    if references is None or type(command) not in references.declared.needed_by:
        return None
    key = references.declared.key(state, command)
    if key is None:
        return None
    if key not in references.values:
        raise ReferenceNotRead
    return references.values[key]


def _events_of(
    context: BatchContext, item: Incoming, before: CachedState, references: References | None
) -> tuple[Sequence[NewEvent], CachedState, Sequence[Duration]]:
    """The events of a command, the state after them, and what came to its end with them."""
    state, version, trace = before
    command, metadata = item.command, item.metadata
    assert command is not None
    decide = context.aggregate_type.decisions[type(command)]
    decided = decide(
        state,
        command,
        DecisionContext(
            context.now,
            _record_time(context, item.record.timestamp),
            command.tenant_id,
            metadata.auth_type,
            metadata.auth_id,
            metadata.message_id,
            _reference(references, state, command),
        ),
    )
    if not decided:
        return (), before, ()
    stored = []
    durations: list[Duration] = []
    evolve, measures = context.aggregate_type.evolve, context.aggregate_type.measures
    traceparent = context.traceparent(item, trace)
    for event in decided:
        if (measure := measures.get(type(event))) is not None:
            durations.extend(measure(state, event))
        state = evolve(state, event)
        encoded = encode_stored(_event_metadata(context, item, event.type_name, traceparent), event.to_json())
        if len(encoded) > MAX_EVENT_BYTES:
            raise RecordTooLarge(
                f"The event {event.type_name} would have {len(encoded)} bytes, at most {MAX_EVENT_BYTES} are stored.",
                code="TOO_LARGE",
                details={"field": "event", "rule": f"at most {MAX_EVENT_BYTES} bytes", "shape": f"{len(encoded)} bytes"},
            )
        stored.append(NewEvent(event.type_name, encoded))
    return stored, CachedState(state, version + len(stored), traceparent if version == 0 else trace), durations


def _record_time(context: BatchContext, timestamp_ms: int) -> datetime:
    """When the record was written; the time of the handling for a timestamp that is none, which any client may send."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC) if 0 <= timestamp_ms <= LAST_TIMESTAMP_MS else context.now


def _event_metadata(context: BatchContext, item: Incoming, type_name: str, traceparent: str | None) -> Metadata:
    command = item.metadata
    return Metadata(
        message_id=context.new_event_id(),
        type_name=type_name,
        source=context.event_source,
        subject=item.aggregate_id,
        time=context.recorded_time,
        tenant_id=item.tenant_id,
        auth_type=command.auth_type,
        auth_id=command.auth_id,
        correlation_id=command.correlation_id,
        causation_id=command.message_id,
        traceparent=traceparent,
        tracestate=command.tracestate,
    )


def rejection_state(context_type: str, recorded_time: str, traceparent: str | None, item: Incoming, error: DomainError) -> bytes:
    """The stored form of a CommandRejected; carries the command's source, correlation and causation."""
    command = item.metadata
    rejected = CommandRejected(
        tenant_id=TenantId(item.tenant_id),
        aggregate_id=item.aggregate_id,
        command_id=CommandId(command.message_id),
        command_type=command.type_name,
        error_type=error.error_type,
        code=error.code,
        message=error.message,
        details=freeze_object(error.details),
    )
    metadata = Metadata(
        message_id=rejection_id(command.message_id),
        type_name=context_type,
        source=command.source,
        subject=item.aggregate_id,
        time=recorded_time,
        tenant_id=item.tenant_id,
        auth_type=command.auth_type,
        auth_id=command.auth_id,
        correlation_id=command.correlation_id,
        causation_id=command.causation_id,
        traceparent=traceparent,
        tracestate=command.tracestate,
    )
    return encode_stored(metadata, rejected.to_json())


def _rejection(context: BatchContext, item: Incoming, trace: str | None, error: DomainError) -> bytes:
    return rejection_state(context.rejected_type, context.recorded_time, context.traceparent(item, trace), item, error)


def source_record(record: KafkaRecord) -> SourceRecord:
    """The record as a dead letter keeps it."""
    return SourceRecord(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers))


def _park(context: BatchContext, decision: Decision, item: Incoming, cause: ParkCause, error: BaseException | None) -> None:
    metadata, append = item.metadata, decision.append
    append.outcomes.append(_outcome(append, item, OutcomeKind.PARKED, None, decision.after.version))
    append.dead_letters.append(
        NewDeadLetter(
            record=source_record(item.record),
            command_id=metadata.message_id,
            type_name=metadata.type_name,
            consumer_group=context.consumer_group,
            cause=cause,
            error_type="WaitsBehind" if error is None else type(error).__name__,
            error_message="waits behind an earlier parked record of its aggregate" if error is None else str(error),
            stack="" if error is None else "".join(traceback.format_exception(error)),
            attempts=item.attempts,
            handler_version=context.handler_version,
        )
    )
    decision.settled.append(item)


def unreadable_letter(context: BatchContext, record: KafkaRecord, error_type: str, reason: str) -> NewDeadLetter:
    """The dead letter of a record that nobody can read."""
    return NewDeadLetter(
        record=source_record(record),
        command_id=None,
        type_name=None,
        consumer_group=context.consumer_group,
        cause=ParkCause.UNDECODABLE,
        error_type=error_type,
        error_message=reason,
        stack="",
        attempts=1,
        handler_version=context.handler_version,
    )
