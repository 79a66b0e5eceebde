"""Compares what publishers were promised with what store, topics and read model hold; pure, so that its own tests can plant faults.

Nothing here asks the product: the journal says what was acknowledged, an independent model says what each command should come to, and
everything else is raw rows and records.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

EVENTS, UNCHANGED, REJECTED = "events", "unchanged", "rejected"
SHOWN = 5


class Journaled(NamedTuple):
    """One acknowledged command, in the order in which its publisher first sent the commands of its aggregate."""

    aggregate_id: str
    command_id: str
    expected: str
    """What an independent model says it comes to: events, unchanged or rejected."""


class InboxRow(NamedTuple):
    """The recorded outcome of a command."""

    kind: str
    version: int


class StreamEvent(NamedTuple):
    """One event of an aggregate's stream, as it lies in the store."""

    version: int
    position: int
    event_id: str
    command_id: str
    """The causation: the command that led to it."""


class StoredRejection(NamedTuple):
    """One row of the rejections."""

    aggregate_id: str
    command_id: str
    position: int
    rejection_id: str


class Published(NamedTuple):
    """One record of the events topic."""

    partition: int
    offset: int
    aggregate_id: str
    sequence: int
    position: int
    event_id: str


class CommandRecord(NamedTuple):
    """One record of the commands topic; without an id it is one that nobody can read."""

    partition: int
    offset: int
    aggregate_id: str
    command_id: str | None


class ReadRow(NamedTuple):
    """What the read model shows of an aggregate, or what folding its stream says that it should show."""

    version: int
    status: str
    message: str
    priority: int


@dataclass(slots=True)
class Observed:
    """Everything that a run left behind."""

    journal: Sequence[Journaled] = ()
    commands: Sequence[CommandRecord] = ()
    inbox: Mapping[tuple[str, str], InboxRow] = field(default_factory=dict)
    streams: Mapping[str, Sequence[StreamEvent]] = field(default_factory=dict)
    rejections: Sequence[StoredRejection] = ()
    unreadable: int = 0
    """Dead letters of records that nobody can read."""
    parked: Sequence[tuple[str, str, str]] = ()
    """Dead letters of readable commands: aggregate, command, error."""
    events_topic: Sequence[Published] = ()
    rejections_topic: Sequence[str] = ()
    """Ids of the records, in any order."""
    dead_letters_topic: int = 0
    rows: Mapping[str, ReadRow] = field(default_factory=dict)
    folded: Mapping[str, ReadRow] = field(default_factory=dict)
    history: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Event id by aggregate and version."""


FAULTS = (
    "lost",
    "applied_twice",
    "order_violations",
    "wrong_outcomes",
    "falsely_parked",
    "missing_in_kafka",
    "not_from_the_store",
    "missing_in_read_model",
    "wrong_in_read_model",
)


@dataclass(slots=True)
class Report:
    """What was found, by kind of fault; each entry says what and where. `figures` are counts that are no faults."""

    faults: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in FAULTS})
    figures: dict[str, int] = field(default_factory=dict)

    def count(self, fault: str) -> int:
        """How many faults of one kind there are."""
        return len(self.faults[fault])

    @property
    def clean(self) -> bool:
        """No fault of any kind."""
        return not any(self.faults.values())

    def add(self, fault: str, text: str) -> None:
        """Note one fault."""
        self.faults[fault].append(text)

    def text(self) -> str:
        """Every count on one line, then the first faults of each kind."""
        lines = [", ".join(f"{name} {len(found)}" for name, found in self.faults.items())]
        lines.append(", ".join(f"{name} {value}" for name, value in self.figures.items()))
        for name, found in self.faults.items():
            lines += [f"  {name}: {text}" for text in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"  {name}: … and {len(found) - SHOWN} more")
        return "\n".join(lines)


def check(observed: Observed) -> Report:
    """Find every fault in what a run left behind."""
    report = Report()
    _check_commands(observed, report)
    _check_outcomes(observed, report)
    _check_streams(observed, report)
    _check_order(observed, report)
    _check_events_topic(observed, report)
    _check_other_topics(observed, report)
    _check_read_model(observed, report)
    report.figures |= {
        "commands": len(observed.journal),
        "copies sent": sum(record.command_id is not None for record in observed.commands) - len(observed.journal),
        "events": sum(len(stream) for stream in observed.streams.values()),
        "rejections": len(observed.rejections),
        "unreadable": observed.unreadable,
        "events published again": len(observed.events_topic) - len({record.event_id for record in observed.events_topic}),
    }
    return report


def _check_commands(observed: Observed, report: Report) -> None:
    """What was acknowledged is on the topic, in the publisher's order."""
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for record in observed.commands:
        if record.command_id is not None:
            first.setdefault((record.aggregate_id, record.command_id), (record.partition, record.offset))
    before: dict[str, tuple[int, int]] = {}
    for command in observed.journal:
        place = first.get((command.aggregate_id, command.command_id))
        if place is None:
            report.add("lost", f"command {command.command_id} of {command.aggregate_id} was acknowledged and is not on the topic")
        elif place < before.get(command.aggregate_id, (-1, -1)):
            report.add("order_violations", f"command {command.command_id} of {command.aggregate_id} lies before its predecessor")
        else:
            before[command.aggregate_id] = place


def _check_outcomes(observed: Observed, report: Report) -> None:
    """Each command has one outcome, the right one, with what it says beside it."""
    caused = Counter((aggregate_id, event.command_id) for aggregate_id, stream in observed.streams.items() for event in stream)
    rejected = Counter((rejection.aggregate_id, rejection.command_id) for rejection in observed.rejections)
    for command in observed.journal:
        key = (command.aggregate_id, command.command_id)
        _check_outcome(command, observed.inbox.get(key), caused[key], rejected[key], report)
    known = {(command.aggregate_id, command.command_id) for command in observed.journal}
    for aggregate_id, command_id in {*caused, *rejected, *observed.inbox} - known:
        report.add("not_from_the_store", f"an outcome of command {command_id} of {aggregate_id}, which nobody sent")
    for aggregate_id, command_id, error in observed.parked:
        report.add("falsely_parked", f"command {command_id} of {aggregate_id}: {error}")
    sent_unreadable = sum(record.command_id is None for record in observed.commands)
    for _ in range(sent_unreadable - observed.unreadable):
        report.add("lost", "an unreadable record is not among the dead letters")


def _check_outcome(command: Journaled, row: InboxRow | None, events: int, rejections: int, report: Report) -> None:
    name = f"command {command.command_id} of {command.aggregate_id}"
    if row is None:
        report.add("lost", f"{name} has no outcome")
    elif (row.kind == EVENTS and not events) or (row.kind == REJECTED and not rejections):
        report.add("lost", f"{name} has the outcome {row.kind!r}, and nothing of it is stored")
    elif row.kind != command.expected:
        report.add("wrong_outcomes", f"{name} came to {row.kind!r}, expected {command.expected!r}")
    if events + rejections > 1:
        report.add("applied_twice", f"{name} led to {events} events and {rejections} rejections")


def _check_streams(observed: Observed, report: Report) -> None:
    """Versions without gaps, one position for one thing."""
    positions: dict[int, str] = {}
    for aggregate_id, stream in observed.streams.items():
        if [event.version for event in stream] != list(range(1, len(stream) + 1)):
            report.add("order_violations", f"versions of {aggregate_id}: {[event.version for event in stream]}")
        if any(later.position <= earlier.position for earlier, later in pairwise(stream)):
            report.add("order_violations", f"positions of {aggregate_id} do not grow: {[event.position for event in stream]}")
        for event in stream:
            if event.position in positions:
                report.add("applied_twice", f"position {event.position} was given to {aggregate_id} and to {positions[event.position]}")
            positions[event.position] = aggregate_id


def _check_order(observed: Observed, report: Report) -> None:
    """The events of an aggregate come in the order of its commands."""
    place = {(command.aggregate_id, command.command_id): index for index, command in enumerate(observed.journal)}
    for aggregate_id, stream in observed.streams.items():
        order = [place.get((aggregate_id, event.command_id), -1) for event in stream]
        for (earlier, later), event in zip(pairwise(order), stream[1:], strict=True):
            if later < earlier:
                report.add("order_violations", f"version {event.version} of {aggregate_id} is of an earlier command than the one before it")


def _check_events_topic(observed: Observed, report: Report) -> None:
    """Every event is there; first deliveries of an aggregate come in order; a repeat is the same event; nothing else is there."""
    stored = {
        (aggregate_id, event.version): (event.event_id, event.position)
        for aggregate_id, stream in observed.streams.items()
        for event in stream
    }
    seen: dict[str, int] = defaultdict(int)
    where: dict[str, int] = {}
    delivered: set[tuple[str, int]] = set()
    for record in sorted(observed.events_topic):
        key = (record.aggregate_id, record.sequence)
        if where.setdefault(record.aggregate_id, record.partition) != record.partition:
            report.add("order_violations", f"{record.aggregate_id} is in two partitions of the events topic")
        if stored.get(key) != (record.event_id, record.position):
            report.add("not_from_the_store", f"event {record.event_id}, version {record.sequence} of {record.aggregate_id}, on the topic")
            continue
        if key in delivered:
            continue
        delivered.add(key)
        if record.sequence < seen[record.aggregate_id]:
            report.add(
                "order_violations",
                f"version {record.sequence} of {record.aggregate_id} was first delivered after version {seen[record.aggregate_id]}",
            )
        seen[record.aggregate_id] = max(seen[record.aggregate_id], record.sequence)
    for aggregate_id, version in sorted(stored.keys() - delivered):
        report.add("missing_in_kafka", f"event, version {version} of {aggregate_id}")


def _check_other_topics(observed: Observed, report: Report) -> None:
    """Every rejection and every copy of a dead letter was published."""
    published = set(observed.rejections_topic)
    stored = {rejection.rejection_id for rejection in observed.rejections}
    for rejection in observed.rejections:
        if rejection.rejection_id not in published:
            report.add("missing_in_kafka", f"rejection of command {rejection.command_id} of {rejection.aggregate_id}")
    for unknown in sorted(published - stored):
        report.add("not_from_the_store", f"rejection {unknown} on the topic")
    for _ in range(observed.unreadable + len(observed.parked) - observed.dead_letters_topic):
        report.add("missing_in_kafka", "the copy of a dead letter")


def _check_read_model(observed: Observed, report: Report) -> None:
    """Every event is in the history, and each row shows its stream's last state."""
    stored = {(aggregate_id, event.version): event.event_id for aggregate_id, stream in observed.streams.items() for event in stream}
    for (aggregate_id, version), event_id in stored.items():
        shown = observed.history.get((aggregate_id, version))
        if shown is None:
            report.add("missing_in_read_model", f"event, version {version} of {aggregate_id}, in the history")
        elif shown != event_id:
            report.add(
                "wrong_in_read_model", f"version {version} of {aggregate_id} is event {shown} in the history, {event_id} in the store"
            )
    for aggregate_id, version in sorted(observed.history.keys() - stored.keys()):
        report.add("wrong_in_read_model", f"version {version} of {aggregate_id} in the history, not in the store")
    for aggregate_id, expected in observed.folded.items():
        row = observed.rows.get(aggregate_id)
        if row is None or row.version < expected.version:
            shows = "no row" if row is None else f"version {row.version}"
            report.add("missing_in_read_model", f"{aggregate_id}: {shows}, the stream has version {expected.version}")
        elif row != expected:
            report.add("wrong_in_read_model", f"{aggregate_id}: {row}, expected {expected}")
    for aggregate_id in sorted(observed.rows.keys() - observed.folded.keys()):
        report.add("wrong_in_read_model", f"{aggregate_id}: a row without a stream")
