"""What every event store must promise: the suite of the port. An adapter's test subclasses it and supplies the two fixtures."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from contracts.envelope import Metadata, encode_stored
from contracts.rejections import rejected_type
from infra.event_store.base import (
    AggregateAppend,
    AppendMode,
    EventStore,
    LogEntry,
    NewDeadLetter,
    NewEvent,
    NewOutcome,
    NewRejection,
    OutcomeKind,
    ParkCause,
    SourceRecord,
    StreamQuery,
)

EVENT_TYPE = "agentmesh.requests.RequestUpdated.v1"
HASH = b"\x01" * 8
_offsets = itertools.count()


def stored(aggregate_id: str, message_id: str, type_name: str = EVENT_TYPE) -> bytes:
    """The stored form of an event or a rejection."""
    metadata = Metadata(
        message_id=message_id,
        type_name=type_name,
        source="/agentmesh/requests",
        subject=aggregate_id,
        time="2026-05-01T10:00:00Z",
        tenant_id="acme",
        auth_type="unknown",
        auth_id="unknown",
        correlation_id="correlation",
        causation_id="causation",
    )
    return encode_stored(metadata, b'{"tenant_id":"acme"}')


def record(offset: int | None = None, *, partition: int = 0) -> SourceRecord:
    """A record as a dead letter keeps it; each call another offset, unless one is given."""
    place = next(_offsets) if offset is None else offset
    return SourceRecord("commands", partition, place, 1_700_000_000_000, b"key", b"\x00\xff value", (("ce_id", b"\xff"), ("x", b"")))


class Batch:
    """Builds what one batch does to one aggregate: `Batch("a", 0).events("c1", 2).rejects("c2").append`."""

    def __init__(self, aggregate_id: str, expected_version: int, mode: AppendMode = AppendMode.APPLY, head: int = 0) -> None:
        self.append = AggregateAppend(aggregate_id, expected_version, mode, head)

    def _outcome(self, command_id: str, kind: OutcomeKind, code: str | None = None) -> Batch:
        append = self.append
        version = append.expected_version + len(append.events)
        append.outcomes.append(NewOutcome(command_id, kind, code, version, len(append.events), len(append.rejections), HASH))
        return self

    def events(self, command_id: str, count: int = 1) -> Batch:
        for _ in range(count):
            name = f"{self.append.aggregate_id}-{command_id}-{len(self.append.events)}"
            self.append.events.append(NewEvent(EVENT_TYPE, stored(self.append.aggregate_id, name)))
        return self._outcome(command_id, OutcomeKind.EVENTS)

    def unchanged(self, command_id: str) -> Batch:
        return self._outcome(command_id, OutcomeKind.UNCHANGED)

    def rejects(self, command_id: str, code: str = "BUSINESS_RULE_VIOLATION") -> Batch:
        self.append.rejections.append(NewRejection(command_id, stored(self.append.aggregate_id, f"rejected-{command_id}")))
        return self._outcome(command_id, OutcomeKind.REJECTED, code)

    def parks(self, command_id: str, cause: ParkCause = ParkCause.DEFECT, source: SourceRecord | None = None, **changes: Any) -> Batch:
        self.append.dead_letters.append(letter(command_id, cause, source, **changes))
        return self._outcome(command_id, OutcomeKind.PARKED)


def letter(command_id: str | None, cause: ParkCause, source: SourceRecord | None = None, **changes: Any) -> NewDeadLetter:
    values: dict[str, Any] = {
        "record": source or record(),
        "command_id": command_id,
        "type_name": None if command_id is None else "agentmesh.requests.UpdateRequest.v1",
        "consumer_group": "agentmesh.requests",
        "cause": cause,
        "error_type": "ZeroDivisionError",
        "error_message": "division by zero \x00 \ud800",
        "stack": "Traceback …",
        "attempts": 3,
        "handler_version": "1.0.0",
    }
    return NewDeadLetter(**{**values, **changes})


def undecodable(source: SourceRecord | None = None) -> AggregateAppend:
    return AggregateAppend("", 0, dead_letters=[letter(None, ParkCause.UNDECODABLE, source, attempts=1)])


async def whole_log(store: EventStore) -> list[LogEntry]:
    entries: list[LogEntry] = []
    while page := await store.read_log(entries[-1].position if entries else 0, 3):
        entries += page
    return entries


def kinds(entries: Sequence[LogEntry]) -> list[str]:
    return [f"{entry.position} {entry.kind} {entry.aggregate_id}" for entry in entries]


@pytest.mark.conformance
class EventStoreSuite:
    """Subclass it with the fixtures `store` (an empty event store of `requests`) and `letters` (its dead letters, for operators)."""

    # -- what one append writes --------------------------------------------------------------------------------------

    async def test_an_empty_store_has_no_position_no_stream_and_no_outcome(self, store: EventStore) -> None:
        assert await store.head() == 0
        assert await store.read_log(0, 10) == []
        assert await store.read_events(0, 10) == ([], 0)
        assert await store.read_stream("a") == []
        assert await store.outcomes([("a", "c1")]) == {}
        loaded = await store.load([StreamQuery("a", 0, ["c1"])])
        assert (loaded["a"].events, loaded["a"].known, loaded["a"].parked) == ([], {}, False)

    async def test_one_append_writes_events_rejections_and_an_outcome_for_each_command(self, store: EventStore) -> None:
        refused = await store.append(
            [Batch("a", 0).events("c1", 2).rejects("c2").unchanged("c3").events("c4").append, Batch("b", 0).rejects("c1").append]
        )
        assert refused == {}
        stream = await store.read_stream("a")
        assert [(event.sequence, event.position, event.aggregate_id, event.context) for event in stream] == [
            (1, 1, "a", "requests"),
            (2, 2, "a", "requests"),
            (3, 3, "a", "requests"),
        ]
        assert [event.metadata.message_id for event in stream] == ["a-c1-0", "a-c1-1", "a-c4-2"]
        assert stream[0].data == b'{"tenant_id":"acme"}'
        outcomes = await store.outcomes([("a", "c1"), ("a", "c2"), ("a", "c3"), ("a", "c4"), ("b", "c1"), ("b", "c2")])
        assert {key: tuple(outcome) for key, outcome in outcomes.items()} == {
            ("a", "c1"): ("events", None, 2, 2, HASH),
            ("a", "c2"): ("rejected", "BUSINESS_RULE_VIOLATION", 2, 4, HASH),
            ("a", "c3"): ("unchanged", None, 2, None, HASH),
            ("a", "c4"): ("events", None, 3, 3, HASH),
            ("b", "c1"): ("rejected", "BUSINESS_RULE_VIOLATION", 0, 5, HASH),
        }

    async def test_positions_are_contiguous_over_events_rejections_and_dead_letters(self, store: EventStore) -> None:
        await store.append([Batch("a", 0).events("c1", 2).rejects("c2").append, undecodable()])
        await store.append([Batch("b", 0).parks("c1").append, Batch("c", 0).events("c1").rejects("c2").append, undecodable()])
        log = await whole_log(store)
        assert kinds(log) == [
            "1 event a",
            "2 event a",
            "3 rejection a",
            "4 dead_letter ",
            "5 event c",
            "6 rejection c",
            "7 dead_letter b",
            "8 dead_letter ",
        ]
        assert await store.head() == 8
        assert [entry.version for entry in log if entry.kind == "event"] == [1, 2, 1]
        assert log[2].type_name == rejected_type("requests")
        assert log[6].dead_letter is not None
        assert log[6].dead_letter.command_id == "c1"

    async def test_a_page_of_events_says_how_far_it_is_complete(self, store: EventStore) -> None:
        await store.append([Batch("a", 0).events("c1", 3).rejects("c2").append, undecodable()])
        events, complete = await store.read_events(0, 2)
        assert ([event.position for event in events], complete) == ([1, 2], 2)
        events, complete = await store.read_events(2, 2)
        assert ([event.position for event in events], complete) == ([3], 4)
        assert await store.read_events(4, 2) == ([], 5)
        assert await store.read_events(5, 2) == ([], 5)

    async def test_loading_answers_newer_events_known_commands_and_parked_marks_of_many_aggregates(self, store: EventStore) -> None:
        await store.append([Batch("a", 0).events("c1", 3).append, Batch("b", 0).parks("p1").append, Batch("c", 0).rejects("c1").append])
        loaded = await store.load(
            [StreamQuery("a", 1, ["c1", "c9"]), StreamQuery("b", 0, ["p1"]), StreamQuery("c", 0, []), StreamQuery("d", 0, [])]
        )
        assert [event.version for event in loaded["a"].events] == [2, 3]
        assert set(loaded["a"].known) == {"c1"}
        assert loaded["b"].known["p1"].kind is OutcomeKind.PARKED
        assert {name: stream.parked for name, stream in loaded.items()} == {"a": False, "b": True, "c": False, "d": False}

    async def test_a_dead_letter_keeps_its_record_byte_for_byte(self, store: EventStore) -> None:
        source = SourceRecord("commands", 7, 41, 123, None, None, (("ce_id", b"\xff\x00"), ("ce_id", b"again"), ("empty", b"")))
        await store.append([undecodable(source)])
        (entry,) = await store.read_log(0, 10)
        assert entry.dead_letter is not None
        assert entry.dead_letter.record == source
        assert entry.dead_letter.error_message == "division by zero \\0 \\ud800"

    # -- the guards ---------------------------------------------------------------------------------------------------

    async def test_a_version_conflict_leaves_nothing_of_that_aggregate_while_the_others_go_on(self, store: EventStore) -> None:
        await store.append([Batch("b", 0).events("c0").append])
        late = Batch("b", 0).events("c1", 2).rejects("c2").unchanged("c3").append
        refused = await store.append([Batch("a", 0).events("c1").rejects("c2").append, late, Batch("c", 0).events("c1").append])
        assert refused == {"b": "version"}
        assert [event.metadata.message_id for event in await store.read_stream("b")] == ["b-c0-0"]
        assert await store.outcomes([("b", "c1"), ("b", "c2"), ("b", "c3")]) == {}
        assert kinds(await whole_log(store)) == ["1 event b", "2 event a", "3 event c", "4 rejection a"]
        outcomes = await store.outcomes([("a", "c1"), ("a", "c2"), ("c", "c1")])
        assert [outcomes[key].position for key in (("a", "c1"), ("a", "c2"), ("c", "c1"))] == [2, 4, 3]

    async def test_a_redelivered_command_in_one_batch_with_a_new_one_is_refused_with_it(self, store: EventStore) -> None:
        """c8 was redelivered together with c9 and both were decided on the state before c8: neither may be written."""
        await store.append([Batch("a", 0).events("c8").append])
        assert set(await store.append([Batch("a", 0).events("c8").events("c9").append])) == {"a"}
        # Even where c8 had left the version as it was, its id is known by now, and c9 was decided beside it.
        await store.append([Batch("b", 0).unchanged("c8").append])
        assert await store.append([Batch("b", 0).unchanged("c8").events("c9").append]) == {"b": "known"}
        assert await store.read_stream("b") == []
        assert await store.outcomes([("a", "c9"), ("b", "c9")]) == {}

    async def test_a_rejection_of_a_zombie_is_refused_because_the_stream_has_moved(self, store: EventStore) -> None:
        await store.append([Batch("a", 0).events("c1").append])
        zombie = Batch("a", 1).rejects("c3").append
        await store.append([Batch("a", 1).events("c2").append])
        assert await store.append([zombie]) == {"a": "version"}
        assert await store.outcomes([("a", "c3")]) == {}
        assert [entry.kind for entry in await whole_log(store)] == ["event", "event"]

    async def test_a_command_id_chosen_for_one_aggregate_does_not_swallow_anothers(self, store: EventStore) -> None:
        await store.append([Batch("a", 0).events("same").append])
        assert await store.append([Batch("b", 0).events("same").append]) == {}
        assert len(await store.outcomes([("a", "same"), ("b", "same")])) == 2

    async def test_many_writers_of_one_aggregate_get_one_version_each(self, store: EventStore) -> None:
        async def write(number: int) -> int:
            tries = 0
            while True:
                tries += 1
                version = len(await store.read_stream("a"))
                if not await store.append([Batch("a", version).events(f"c{number}").append]):
                    return tries

        tries = await asyncio.gather(*(write(number) for number in range(8)))
        stream = await store.read_stream("a")
        assert [event.sequence for event in stream] == [event.position for event in stream] == list(range(1, 9))
        assert sum(tries) > 8, "the writers never met"

    # -- parking ------------------------------------------------------------------------------------------------------

    async def test_nothing_is_applied_to_an_aggregate_that_has_a_parked_record(self, store: EventStore) -> None:
        await store.append([Batch("a", 0).events("c1").append])
        await store.append([Batch("a", 1).parks("c2").append])
        assert await store.append([Batch("a", 1).events("c3").append]) == {"a": "parked"}
        assert await store.append([Batch("a", 1).rejects("c3").append]) == {"a": "parked"}
        assert await store.outcomes([("a", "c3")]) == {}

    async def test_a_record_is_parked_behind_only_while_there_is_one_to_wait_for(self, store: EventStore) -> None:
        behind = Batch("a", 0, AppendMode.BEHIND).parks("c3", ParkCause.BEHIND).append
        assert await store.append([behind]) == {"a": "not_parked"}
        assert await store.head() == 0
        await store.append([Batch("a", 0).parks("c2").append])
        assert await store.append([Batch("a", 0, AppendMode.BEHIND).parks("c3", ParkCause.BEHIND).append]) == {}
        assert await store.head() == 2

    async def test_a_defect_after_some_commands_keeps_what_they_did(self, store: EventStore) -> None:
        batch = Batch("a", 0).events("c1", 2).rejects("c2").parks("c3").parks("c4", ParkCause.BEHIND).append
        assert await store.append([batch]) == {}
        assert kinds(await whole_log(store)) == ["1 event a", "2 event a", "3 rejection a", "4 dead_letter a", "5 dead_letter a"]
        outcomes = await store.outcomes([("a", name) for name in ("c1", "c2", "c3", "c4")])
        assert [str(outcomes["a", name].kind) for name in ("c1", "c2", "c3", "c4")] == ["events", "rejected", "parked", "parked"]

    async def test_dead_letters_are_unique_by_topic_partition_and_offset(self, store: EventStore, letters: Any) -> None:
        source = record()
        await store.append([undecodable(source)])
        await store.append([undecodable(source)])
        await store.append([undecodable(record(source.offset, partition=1))])
        found = await letters.find_all()
        assert [letter.position for letter in found] == [1, 2]
        assert await store.head() == 2, "a repeat took a position"

    async def test_an_undecodable_record_blocks_nobody(self, store: EventStore) -> None:
        await store.append([undecodable()])
        assert await store.append([Batch("a", 0).events("c1").append, undecodable()]) == {}
        assert (await store.load([StreamQuery("a", 0, [])]))["a"].parked is False

    # -- redrive and discard --------------------------------------------------------------------------------------------

    async def test_parked_is_the_only_outcome_that_a_redrive_overwrites(self, store: EventStore, letters: Any) -> None:
        await store.append([Batch("a", 0).events("c1").append])
        await store.append([Batch("a", 1).parks("c2").append])
        assert await letters.requeue([2]) == [2]
        assert await store.append([Batch("a", 1, AppendMode.REDRIVE, 2).events("c1").append]) == {"a": "known"}
        assert await store.append([Batch("a", 1, AppendMode.REDRIVE, 2).events("c2").append]) == {}
        outcome = (await store.outcomes([("a", "c2")]))["a", "c2"]
        assert (outcome.kind, outcome.version, outcome.position) == (OutcomeKind.EVENTS, 2, 3)
        assert (await letters.status())[2] == "redriven"
        assert await store.append([Batch("a", 2).events("c3").append]) == {}

    async def test_only_a_requeued_head_is_redriven(self, store: EventStore, letters: Any) -> None:
        await store.append([Batch("a", 0).parks("c1").parks("c2", ParkCause.BEHIND).append, Batch("b", 0).parks("c1").append])
        assert await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c1").append]) == {"a": "not_head"}, "not requeued"
        await letters.requeue([2])
        assert await store.append([Batch("a", 0, AppendMode.REDRIVE, 2).events("c2").append]) == {"a": "not_head"}, "not the first"
        await letters.requeue([1, 3])
        assert await store.append([Batch("a", 0, AppendMode.REDRIVE, 3).events("c1").append]) == {"a": "not_head"}, "another's"
        assert await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c1").append]) == {}
        assert set(await store.append([Batch("a", 1, AppendMode.REDRIVE, 1).events("c1").append])) == {"a"}, "only once"

    async def test_a_redriven_head_frees_what_waits_behind_it_up_to_the_next_defect(self, store: EventStore, letters: Any) -> None:
        behind = ParkCause.BEHIND
        await store.append([Batch("a", 0).parks("c1").parks("c2", behind).parks("c3").parks("c4", behind).append])
        await letters.requeue([1])
        await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c1").append])
        assert await letters.status() == {1: "redriven", 2: "requeued", 3: "parked", 4: "parked"}
        await store.append([Batch("a", 1, AppendMode.REDRIVE, 2).rejects("c2").append])
        assert await letters.status() == {1: "redriven", 2: "redriven", 3: "parked", 4: "parked"}
        await letters.requeue([3])
        await store.append([Batch("a", 1, AppendMode.REDRIVE, 3).unchanged("c3").append])
        assert await letters.status() == {1: "redriven", 2: "redriven", 3: "redriven", 4: "requeued"}

    async def test_a_record_that_comes_during_a_redrive_drains_with_it(self, store: EventStore, letters: Any) -> None:
        await store.append([Batch("a", 0).parks("c1").parks("c2", ParkCause.BEHIND).append])
        await letters.requeue([1])
        await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c1").append])
        await store.append([Batch("a", 1, AppendMode.BEHIND).parks("c3", ParkCause.BEHIND).append])
        assert await letters.status() == {1: "redriven", 2: "requeued", 4: "requeued"}

    async def test_a_record_that_comes_while_others_are_parked_waits_for_a_person_too(self, store: EventStore, letters: Any) -> None:
        await store.append([Batch("a", 0).parks("c1").append])
        await store.append([Batch("a", 0, AppendMode.BEHIND).parks("c2", ParkCause.BEHIND).append])
        assert await letters.status() == {1: "parked", 2: "parked"}

    async def test_a_redrive_that_fails_is_parked_again_with_its_new_error(self, store: EventStore, letters: Any) -> None:
        source = record()
        await store.append([Batch("a", 0).parks("c1", source=source).parks("c2", ParkCause.BEHIND).append])
        await letters.requeue([1])
        again = Batch("a", 0, AppendMode.REDRIVE, 1).parks("c1", source=source, error_type="KeyError", attempts=1).append
        assert await store.append([again]) == {}
        found = (await letters.find_all())[0]
        assert (found.status, found.error_type, found.attempts, found.position) == ("parked", "KeyError", 4, 1)
        assert await letters.status() == {1: "parked", 2: "parked"}
        assert await store.head() == 2

    async def test_an_undecodable_record_that_can_be_read_later_is_applied_once(self, store: EventStore, letters: Any) -> None:
        await store.append([undecodable()])
        await letters.requeue([1])
        assert await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c1").append]) == {}
        assert await letters.status() == {1: "redriven"}
        assert await store.append([Batch("a", 1, AppendMode.REDRIVE, 1).events("c2").append]) == {"a": "not_head"}

    async def test_an_undecodable_record_that_can_be_read_later_waits_for_its_aggregate(self, store: EventStore, letters: Any) -> None:
        await store.append([undecodable()])
        await store.append([Batch("a", 0).parks("c1").append])
        await letters.requeue([1])
        assert await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c0").append]) == {"a": "not_head"}
        assert await store.outcomes([("a", "c0")]) == {}
        assert await letters.status() == {1: "requeued", 2: "parked"}

    async def test_an_undecodable_record_that_can_be_read_later_and_fails_is_parked_under_its_aggregate(
        self, store: EventStore, letters: Any
    ) -> None:
        source = record()
        await store.append([undecodable(source)])
        await letters.requeue([1])
        failed = Batch("a", 0, AppendMode.REDRIVE, 1).parks("c1", source=source).append
        assert await store.append([failed]) == {}
        (found,) = await letters.find_all()
        assert (found.status, found.cause, found.aggregate_id, found.command_id) == ("parked", "defect", "a", "c1")
        assert await store.append([Batch("a", 0).events("c2").append]) == {"a": "parked"}
        await letters.requeue([1])
        assert await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c1").append]) == {}
        assert (await store.outcomes([("a", "c1")]))["a", "c1"].kind is OutcomeKind.EVENTS

    async def test_a_discarded_record_is_a_rejection_that_says_who_and_why(self, store: EventStore, letters: Any) -> None:
        await store.append([Batch("a", 0).parks("c1").parks("c2", ParkCause.BEHIND).append])
        assert await letters.discard(1, "ann", "sent twice by hand") is True
        outcome = (await store.outcomes([("a", "c1")]))["a", "c1"]
        assert (outcome.kind, outcome.code, outcome.position) == (OutcomeKind.REJECTED, "DISCARDED", 3)
        entry = (await whole_log(store))[-1]
        assert (entry.kind, entry.position, entry.aggregate_id) == ("rejection", 3, "a")
        assert b"ann" in entry.state
        assert b"sent twice by hand" in entry.state
        assert await letters.status() == {1: "discarded", 2: "requeued"}
        found = (await letters.find_all())[0]
        assert (found.marked_by, found.marked_reason) == ("ann", "sent twice by hand")

    async def test_a_record_is_discarded_once_and_never_after_it_was_applied(self, store: EventStore, letters: Any) -> None:
        await store.append([Batch("a", 0).parks("c1").append, Batch("b", 0).parks("c1").append, undecodable()])
        await letters.requeue([1])
        await store.append([Batch("a", 0, AppendMode.REDRIVE, 1).events("c1").append])
        head = await store.head()
        assert await letters.discard(1, "ann", "too late") is False
        assert await letters.discard(2, "ann", "in time") is True
        assert await letters.discard(2, "ann", "again") is False
        assert await letters.discard(3, "ann", "no command, so no rejection") is True
        assert await store.head() == head + 1
        assert (await store.outcomes([("a", "c1")]))["a", "c1"].kind is OutcomeKind.EVENTS
