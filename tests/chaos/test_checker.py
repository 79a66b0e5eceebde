"""The checker itself: a clean run passes, and each fault that is planted is found under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.checker import (
    FAULTS,
    CommandRecord,
    InboxRow,
    Journaled,
    Observed,
    Published,
    ReadRow,
    StoredRejection,
    StreamEvent,
    check,
)


def clean_run() -> Observed:
    """Two aggregates with two events each, one refused command, one without effect, one repeat of each kind, one unreadable record."""
    return Observed(
        journal=[
            Journaled("a", "a-create", "events"),
            Journaled("b", "b-create", "events"),
            Journaled("a", "a-triage", "events"),
            Journaled("b", "b-bad", "rejected"),
            Journaled("b", "b-same", "unchanged"),
            Journaled("b", "b-delete", "events"),
        ],
        commands=[
            CommandRecord(0, 0, "a", "a-create"),
            CommandRecord(0, 1, "a", "a-triage"),
            CommandRecord(0, 2, "a", "a-create"),
            CommandRecord(1, 0, "b", "b-create"),
            CommandRecord(1, 1, "b", "b-bad"),
            CommandRecord(1, 2, "b", "b-same"),
            CommandRecord(1, 3, "b", "b-delete"),
            CommandRecord(1, 4, "b", None),
        ],
        inbox={
            ("a", "a-create"): InboxRow("events", 1),
            ("a", "a-triage"): InboxRow("events", 2),
            ("b", "b-create"): InboxRow("events", 1),
            ("b", "b-bad"): InboxRow("rejected", 1),
            ("b", "b-same"): InboxRow("unchanged", 1),
            ("b", "b-delete"): InboxRow("events", 2),
        },
        streams={
            "a": [StreamEvent(1, 1, "ea1", "a-create"), StreamEvent(2, 3, "ea2", "a-triage")],
            "b": [StreamEvent(1, 2, "eb1", "b-create"), StreamEvent(2, 5, "eb2", "b-delete")],
        },
        rejections=[StoredRejection("b", "b-bad", 4, "rb")],
        unreadable=1,
        events_topic=[
            Published(0, 0, "a", 1, 1, "ea1"),
            Published(0, 1, "a", 2, 3, "ea2"),
            Published(0, 2, "a", 1, 1, "ea1"),
            Published(1, 0, "b", 1, 2, "eb1"),
            Published(1, 1, "b", 2, 5, "eb2"),
        ],
        rejections_topic=["rb", "rb"],
        dead_letters_topic=1,
        rows={"a": ReadRow(2, "triaged", "m", 2), "b": ReadRow(2, "deleted", "m", 2)},
        folded={"a": ReadRow(2, "triaged", "m", 2), "b": ReadRow(2, "deleted", "m", 2)},
        history={("a", 1): "ea1", ("a", 2): "ea2", ("b", 1): "eb1", ("b", 2): "eb2"},
    )


def test_a_clean_run_has_no_fault() -> None:
    report = check(clean_run())
    assert report.clean, report.text()
    assert report.figures["commands"] == 6
    assert report.figures["copies sent"] == 1
    assert report.figures["events published again"] == 1


def without(observed: Observed, name: str, key: object) -> Observed:
    mapping = getattr(observed, name)
    return replace(observed, **{name: {found: value for found, value in mapping.items() if found != key}})


def added(observed: Observed, name: str, *items: object) -> Observed:
    return replace(observed, **{name: [*getattr(observed, name), *items]})


def stream(observed: Observed, aggregate_id: str, *events: StreamEvent) -> Observed:
    return replace(observed, streams={**observed.streams, aggregate_id: list(events)})


def topic(observed: Observed, *records: Published) -> Observed:
    return replace(observed, events_topic=list(records))


PLANTED: dict[str, tuple[str, Callable[[Observed], Observed]]] = {
    "an acknowledged command without an outcome": ("lost", lambda run: without(run, "inbox", ("b", "b-same"))),
    "an outcome 'events' without its event": (
        "lost",
        lambda run: stream(run, "a", StreamEvent(1, 1, "ea1", "a-create")),
    ),
    "an outcome 'rejected' without its rejection": ("lost", lambda run: replace(run, rejections=[])),
    "an acknowledged command that the broker lost": ("lost", lambda run: replace(run, commands=run.commands[:-2])),
    "an unreadable record that nobody parked": ("lost", lambda run: replace(run, unreadable=0)),
    "a command applied twice": (
        "applied_twice",
        lambda run: stream(run, "a", *run.streams["a"], StreamEvent(3, 6, "ea3", "a-triage")),
    ),
    "a command refused and applied": ("applied_twice", lambda run: added(run, "rejections", StoredRejection("a", "a-triage", 6, "ra"))),
    "a command refused twice": ("applied_twice", lambda run: added(run, "rejections", StoredRejection("b", "b-bad", 6, "rb2"))),
    "a position given twice": (
        "applied_twice",
        lambda run: stream(run, "b", StreamEvent(1, 1, "eb1", "b-create"), run.streams["b"][1]),
    ),
    "events in another order than their commands": (
        "order_violations",
        lambda run: stream(run, "a", StreamEvent(1, 1, "ea1", "a-triage"), StreamEvent(2, 3, "ea2", "a-create")),
    ),
    "a gap in a stream": (
        "order_violations",
        lambda run: stream(run, "a", run.streams["a"][0], StreamEvent(3, 3, "ea2", "a-triage")),
    ),
    "positions that do not grow with the stream": (
        "order_violations",
        lambda run: stream(run, "a", StreamEvent(1, 9, "ea1", "a-create"), StreamEvent(2, 3, "ea2", "a-triage")),
    ),
    "a command decided too early": (
        "wrong_outcomes",
        lambda run: replace(run, inbox={**run.inbox, ("b", "b-same"): InboxRow("rejected", 1)}, rejections=[
            *run.rejections, StoredRejection("b", "b-same", 6, "rs")]),
    ),
    "first deliveries out of order": (
        "order_violations",
        lambda run: topic(
            run, Published(0, 0, "a", 2, 3, "ea2"), Published(0, 1, "a", 1, 1, "ea1"), *run.events_topic[3:]
        ),
    ),
    "one aggregate in two partitions": (
        "order_violations",
        lambda run: topic(run, run.events_topic[0], Published(1, 9, "a", 2, 3, "ea2"), *run.events_topic[3:]),
    ),
    "the publisher's commands out of order on the topic": (
        "order_violations",
        lambda run: replace(run, commands=[
            CommandRecord(0, 0, "a", "a-triage"), CommandRecord(0, 1, "a", "a-create"), *run.commands[3:]]),
    ),
    "a readable command that was parked": ("falsely_parked", lambda run: replace(
        run, parked=[("a", "a-triage", "WorkerDied")], dead_letters_topic=2)),
    "an event that never reached Kafka": ("missing_in_kafka", lambda run: topic(run, *run.events_topic[:4])),
    "a rejection that never reached Kafka": ("missing_in_kafka", lambda run: replace(run, rejections_topic=[])),
    "a copy of a dead letter that never reached Kafka": ("missing_in_kafka", lambda run: replace(run, dead_letters_topic=0)),
    "an event on Kafka that the store does not have": (
        "not_from_the_store",
        lambda run: added(run, "events_topic", Published(1, 2, "b", 3, 6, "eb3")),
    ),
    "a repeat that is another event": (
        "not_from_the_store",
        lambda run: added(run, "events_topic", Published(0, 3, "a", 2, 3, "other")),
    ),
    "a rejection on Kafka that the store does not have": ("not_from_the_store", lambda run: added(run, "rejections_topic", "rx")),
    "an outcome of a command that nobody sent": (
        "not_from_the_store",
        lambda run: replace(run, inbox={**run.inbox, ("a", "ghost"): InboxRow("unchanged", 2)}),
    ),
    "an event missing in the history": ("missing_in_read_model", lambda run: without(run, "history", ("a", 1))),
    "a row that stayed behind": (
        "missing_in_read_model",
        lambda run: replace(run, rows={**run.rows, "a": ReadRow(1, "pending", "m", 2)}),
    ),
    "a row that was never made": ("missing_in_read_model", lambda run: without(run, "rows", "b")),
    "a row with a wrong value": (
        "wrong_in_read_model",
        lambda run: replace(run, rows={**run.rows, "a": ReadRow(2, "pending", "m", 2)}),
    ),
    "a row without a stream": ("wrong_in_read_model", lambda run: replace(run, rows={**run.rows, "c": ReadRow(1, "pending", "m", 2)})),
    "a history that shows another event": ("wrong_in_read_model", lambda run: replace(run, history={**run.history, ("a", 1): "other"})),
    "a history of an event that is not stored": ("wrong_in_read_model", lambda run: replace(run, history={**run.history, ("a", 3): "ea3"})),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    fault, plant = PLANTED[name]
    report = check(plant(clean_run()))
    assert report.count(fault) >= 1, report.text()
    assert not report.clean
    assert f"{fault}: " in report.text()


def test_every_kind_of_fault_is_planted() -> None:
    assert {fault for fault, _ in PLANTED.values()} == set(FAULTS)
