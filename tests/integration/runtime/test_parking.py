"""A command that cannot be processed is parked with its cause and stops nothing but its own aggregate; a redrive applies it in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from contracts.message import Command
from contracts.rejections import rejection_id
from contracts.requests.commands import CreateRequest, UpdateRequest
from contracts.requests.events import RequestUpdated
from contracts.topics import commands_topic, rejections_topic
from contracts.upcasting import decode_command
from infra.dead_letters.postgres import PostgresDeadLetters
from infra.event_store.base import OutcomeKind
from infra.runtime import decode
from infra.runtime.base import Decide, DecisionContext
from infra.settings import MeshSettings
from services.requests.domain import Request, evolve
from services.requests.handlers import create_request, update_request
from tests.mesh import TENANT, Mesh, command_record, create, header, new_id, wait_for

pytestmark = pytest.mark.integration
TOPIC = commands_topic("requests")


class PlantedFault(Exception):
    """A defect of the code, as a test plants it."""


class Poison:
    """Replaces two decisions: they fail for the chosen requests until they are mended."""

    def __init__(self, *requests: str) -> None:
        self.requests = set(requests)
        self.tries: list[str] = []
        self.before: Callable[[Any], None] = lambda command: None

    @property
    def decisions(self) -> dict[type[Command], Decide]:
        return {CreateRequest: partial(self._decide, create_request), UpdateRequest: partial(self._decide, update_request)}

    def _decide(self, decide: Decide, request: Request | None, command: Any, context: DecisionContext) -> Any:
        self.before(command)
        if command.request_id in self.requests:
            self.tries.append(context.message_id)
            raise PlantedFault(f"planted for {command.request_id}")
        return decide(request, command, context)


def update(request: str, text: str) -> dict[str, str]:
    return {"tenant_id": TENANT, "request_id": request, "message": text}


async def texts(mesh: Mesh, request: str) -> list[str]:
    """The messages that a request has had, in order."""
    return [event.event().message for event in await mesh.store.read_stream(request)]  # type: ignore[attr-defined]


async def test_one_poison_key_among_a_thousand_waits_in_order_while_all_others_are_done(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        requests = [new_id() for _ in range(1_000)]
        bad = requests[437]
        poison = Poison(bad)
        await mesh.start(mesh.planted(poison.decisions), mesh.relay())
        records = [command_record("CreateRequest", each, create(each), command_id=f"create-{each}") for each in requests]
        records += [
            command_record("UpdateRequest", each, update(each, f"Text number {number}"), command_id=f"update-{number}-{each}")
            for number in range(3)
            for each in requests
        ]
        await mesh.publish_many(records)
        await mesh.all_committed(4_000, seconds=40)
        good = [each for each in requests if each != bad]
        done = await mesh.store.outcomes([(each, f"update-2-{each}") for each in good])
        assert len(done) == 999
        assert {(outcome.kind, outcome.version) for outcome in done.values()} == {(OutcomeKind.EVENTS, 4)}
        letters = await mesh.letters()
        assert [(letter.aggregate_id, letter.cause, letter.error_type, letter.attempts) for letter in letters] == [
            (bad, "defect", "PlantedFault", 3),
            *[(bad, "behind", "WaitsBehind", 0)] * 3,
        ]
        assert [letter.command_id for letter in letters] == [f"create-{bad}", *(f"update-{number}-{bad}" for number in range(3))]
        assert "planted for" in letters[0].error_message
        assert "in _decide" in letters[0].stack
        assert poison.tries == [f"create-{bad}"] * 3
        poison.requests.clear()
        await mesh.requeue(letters[0].position)
        assert (await mesh.outcome(bad, f"update-2-{bad}")).kind is OutcomeKind.PARKED

        async def drained() -> bool:
            return {letter.status for letter in await mesh.letters()} == {"redriven"}

        await wait_for(drained, 20, "the parked records redriven")
        assert await texts(mesh, bad) == ["My invoice of May is wrong", "Text number 0", "Text number 1", "Text number 2"]
        assert await mesh.store.head() == 4_000 + 4
        copies = await mesh.records("agentmesh.requests.dlq.v1", count=4)
        assert [header(copy, "ce_id") for copy in copies] == [letter.command_id for letter in letters]


async def test_attempts_are_counted_in_postgres_from_the_second_on(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        counted: list[int | None] = []

        def look(command: Any) -> None:
            with psycopg.connect(mesh.settings.postgres_dsn) as connection:
                row = connection.execute("SELECT attempts FROM requests.attempts").fetchone()
            counted.append(None if row is None else row[0])

        poison.before = look
        await mesh.start(mesh.planted(poison.decisions))
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        (letter,) = await mesh.letters(count=1)
        assert letter.attempts == 3
        assert counted == [None, None, 2]
        await mesh.all_committed(1)
        assert await mesh.rows("SELECT 1 FROM requests.attempts") == [], "attempts of a settled record are forgotten"
        assert (await mesh.store.outcomes([(request, "c1")]))[request, "c1"].kind is OutcomeKind.PARKED
        await mesh.counts(1, "dead_letters_total", topic=TOPIC)


async def test_a_record_that_a_second_attempt_can_do_is_not_parked(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        poison.before = lambda command: poison.requests.clear() if len(poison.tries) == 2 else None
        await mesh.start(mesh.planted(poison.decisions))
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        assert (await mesh.outcome(request, "c1")).kind is OutcomeKind.EVENTS
        await mesh.all_committed(1)
        assert await mesh.letters() == []
        assert await mesh.rows("SELECT 1 FROM requests.attempts") == []


async def test_commands_before_the_defect_are_done_and_those_behind_it_wait(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison()
        poison.before = lambda command: poison.requests.add(request) if getattr(command, "message", "") == "Bad" else None
        batch = [
            command_record("CreateRequest", request, create(request), command_id="c1"),
            command_record("UpdateRequest", request, update(request, "Good"), command_id="c2"),
            command_record("UpdateRequest", request, update(request, "Bad"), command_id="c3"),
            command_record("TriageRequest", request, {"nonsense": True}, command_id="c4"),
            command_record("UpdateRequest", request, update(request, "Late"), command_id="c5"),
        ]
        await mesh.publish_many(batch)
        await mesh.start(mesh.planted(poison.decisions))
        await mesh.all_committed(5)
        found = await mesh.store.outcomes([(request, f"c{number}") for number in range(1, 6)])
        assert [str(found[request, f"c{number}"].kind) for number in range(1, 6)] == ["events", "events", "parked", "parked", "parked"]
        assert [letter.cause for letter in await mesh.letters()] == ["defect", "behind", "behind"]


async def test_a_repeat_of_a_parked_command_is_not_parked_twice(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        await mesh.start(mesh.planted(poison.decisions))
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        await mesh.letters(count=1)
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        await mesh.all_committed(2)
        assert len(await mesh.letters()) == 1
        poison.requests.clear()
        await mesh.requeue(1)

        async def applied() -> bool:
            return (await mesh.store.outcomes([(request, "c1")]))[request, "c1"].kind is OutcomeKind.EVENTS

        await wait_for(applied, 10, "the redrive")
        assert await mesh.stream(request) == ["RequestCreated"]


async def test_newer_records_that_arrive_during_a_redrive_are_applied_after_it(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        await mesh.start(mesh.planted(poison.decisions))
        await mesh.publish("CreateRequest", request, create(request), command_id="c0")
        for number in range(5):
            await mesh.publish("UpdateRequest", request, update(request, f"Text number {number}"), command_id=f"c{number + 1}")
        await mesh.letters(count=6)
        poison.requests.clear()
        async with mesh.append_lock() as lock:
            await mesh.requeue(1)
            await lock.stopped()  # the redrive of the head stands before its transaction
            for number in range(5, 10):
                await mesh.publish("UpdateRequest", request, update(request, f"Text number {number}"), command_id=f"c{number + 1}")
            await lock.stopped(2)  # and beside it the batch of newer records, which believes that the aggregate is parked

        async def applied() -> bool:
            return (await mesh.store.outcomes([(request, "c10")])).get((request, "c10"), (None,))[0] is OutcomeKind.EVENTS

        await wait_for(applied, 20, "the newest record applied")
        assert await texts(mesh, request) == ["My invoice of May is wrong", *(f"Text number {number}" for number in range(10))]


async def test_a_redrive_that_fails_again_parks_its_record_again_and_stops_there(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        await mesh.start(mesh.planted(poison.decisions))
        for number in range(3):
            await mesh.publish("CreateRequest", request, create(request), command_id=f"c{number}")
        await mesh.letters(count=3)
        tried = len(poison.tries)
        await mesh.requeue(1)

        async def parked_again() -> bool:
            return len(poison.tries) > tried and (await mesh.letters())[0].status == "parked"

        await wait_for(parked_again, 10, "the head parked again")
        assert [letter.status for letter in await mesh.letters()] == ["parked"] * 3
        assert (await mesh.letters())[0].attempts == 4
        # The defect is of the first one only: the second becomes the head with an error of its own.
        poison.requests.clear()
        await mesh.requeue(1)
        outcome = await mesh.outcome(request, "c0")

        async def drained() -> bool:
            return {letter.status for letter in await mesh.letters()} == {"redriven"}

        await wait_for(drained, 10, "all redriven")
        outcome = (await mesh.store.outcomes([(request, "c2")]))[request, "c2"]
        assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "BUSINESS_RULE_VIOLATION")


async def test_parking_that_races_with_the_redrive_of_its_head_looks_again(mesh_settings: MeshSettings) -> None:
    """A worker wants to park behind a head that is redriven at this moment: it must see that nothing is parked any more."""
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        await mesh.start(mesh.planted(poison.decisions))
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        await mesh.letters(count=1)
        poison.requests.clear()
        async with mesh.append_lock() as lock:
            await mesh.requeue(1)
            await lock.stopped()
            await mesh.publish("UpdateRequest", request, update(request, "Newer"), command_id="c2")
            await lock.stopped(2)
        assert (await mesh.outcome(request, "c2")).kind is OutcomeKind.EVENTS
        assert len(await mesh.letters()) == 1, "the newer record was parked behind nothing"
        assert mesh.metric("event_append_conflicts_total") >= 1


async def test_a_discarded_command_is_told_with_who_and_why_and_frees_the_next(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        await mesh.start(mesh.planted(poison.decisions), mesh.relay())
        await mesh.publish("CreateRequest", request, create(request), command_id="c1", headers={"ce_source": b"shop"})
        await mesh.publish("CreateRequest", request, create(request, message="Second"), command_id="c2")
        await mesh.letters(count=2)
        poison.requests.clear()
        assert await PostgresDeadLetters(mesh.database, "requests").discard(1, "ann", "sent by mistake")
        outcome = await mesh.outcome(request, "c1")
        assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "DISCARDED")

        async def second() -> bool:
            return (await mesh.store.outcomes([(request, "c2")]))[request, "c2"].kind is OutcomeKind.EVENTS

        await wait_for(second, 10, "the record behind it applied")
        assert await texts(mesh, request) == ["Second"]
        (told,) = await mesh.records(rejections_topic("requests"), count=1)
        assert header(told, "ce_id") == rejection_id("c1")
        assert header(told, "ce_source") == "shop"
        assert header(told, "ce_causationid") == "c1"
        body = json.loads(told.value)
        assert (body["code"], body["error_type"], body["command_id"]) == ("DISCARDED", "Discarded", "c1")
        assert (body["details"]["who"], body["details"]["why"]) == ("ann", "sent by mistake")


async def test_a_redrive_reads_an_old_record_through_the_upcasters(mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of an older shape was parked; the fix knows the older shape."""
    old_type = "agentmesh.requests.CreateRequest.v0"
    new_type = CreateRequest.type_name
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        known = {old_type: (new_type, lambda fields: {**fields, "message": fields["message"].upper()})}
        monkeypatch.setattr(decode, "decode_command", partial(decode_command, upcasters=known))
        worker = mesh.planted(poison.decisions)
        await mesh.start(worker)
        await mesh.publish(old_type, request, create(request, message="old shape"), command_id="c1")
        (letter,) = await mesh.letters(count=1)
        assert letter.type_name == old_type
        poison.requests.clear()
        known[old_type] = (new_type, lambda fields: {**fields, "message": "lifted anew"})
        await mesh.requeue(1)

        async def applied() -> bool:
            return (await mesh.store.outcomes([(request, "c1")]))[request, "c1"].kind is OutcomeKind.EVENTS

        await wait_for(applied, 10, "the redrive")
        assert await texts(mesh, request) == ["lifted anew"]


async def test_an_undecodable_record_is_parked_alone_after_one_attempt_and_blocks_no_key(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        request = new_id()
        await mesh.publish_many(
            [
                command_record("CreateRequest", request, create(request), command_id="c1"),
                command_record("UpdateRequest", request, b"\xff\x00 not JSON", command_id="c2"),
                command_record("UpdateRequest", request, update(request, "After it"), command_id="c3"),
            ]
        )
        assert (await mesh.outcome(request, "c3")).kind is OutcomeKind.EVENTS
        (letter,) = await mesh.letters(count=1)
        assert (letter.cause, letter.attempts, letter.aggregate_id, letter.command_id) == ("undecodable", 1, None, None)
        assert letter.record.value == b"\xff\x00 not JSON"
        assert await mesh.store.outcomes([(request, "c2")]) == {}
        # Requeued while still nobody can read it, it is parked again, and the worker does not spin on it.
        await mesh.requeue(letter.position)

        async def parked_again() -> bool:
            return (await mesh.letters())[0].attempts == 2

        await wait_for(parked_again, 10, "the record parked again")
        assert (await mesh.letters())[0].status == "parked"


async def test_an_undecodable_record_that_the_fix_can_read_is_applied(mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        request = new_id()
        await mesh.publish("CreateRequest", request, b"(" + json.dumps(create(request)).encode() + b")", command_id="c1")
        await mesh.letters(count=1)
        reader = decode.decode_command
        monkeypatch.setattr(decode, "decode_command", lambda type_name, data: reader(type_name, data.strip(b"()")))
        await mesh.requeue(1)
        assert (await mesh.outcome(request, "c1")).kind is OutcomeKind.EVENTS

        async def redriven() -> bool:
            return (await mesh.letters())[0].status == "redriven"

        await wait_for(redriven, 10, "the mark")


class Unstorable(RequestUpdated):
    """An event that Postgres refuses: its type name holds a NUL."""

    type_name = "agentmesh.requests.\x00.v1"


def tolerant_evolve(request: Request | None, event: Any) -> Request | None:
    """Takes the unstorable event, so that it comes as far as the database."""
    return request if isinstance(event, Unstorable) else evolve(request, event)


async def test_data_that_the_database_refuses_parks_only_the_record_that_leads_to_it(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        bad, others = new_id(), [new_id() for _ in range(20)]

        def decide(request: Request | None, command: UpdateRequest, context: DecisionContext) -> Any:
            events = update_request(request, command, context)
            return (Unstorable(**events[0].model_dump()),) if command.message == "Unstorable" else events

        records = [command_record("CreateRequest", each, create(each), command_id="c1") for each in [*others, bad]]
        records += [command_record("UpdateRequest", each, update(each, "Text"), command_id="c2") for each in [*others, bad]]
        records += [command_record("UpdateRequest", bad, update(bad, "Unstorable"), command_id="c3")]
        records += [command_record("UpdateRequest", bad, update(bad, "Behind"), command_id="c4")]
        await mesh.publish_many(records)
        await mesh.start(mesh.planted({UpdateRequest: decide}, evolve=tolerant_evolve))
        await mesh.all_committed(len(records))
        for each in [*others, bad]:
            assert await mesh.stream(each) == ["RequestCreated", "RequestUpdated"]
        letters = await mesh.letters()
        assert [(letter.command_id, letter.cause, letter.error_type) for letter in letters] == [
            ("c3", "defect", "DataError"),
            ("c4", "behind", "WaitsBehind"),
        ]
        assert letters[0].attempts == 3


async def test_an_event_over_512_kib_is_refused_by_name(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        request = new_id()

        def decide(found: Request | None, command: CreateRequest, context: DecisionContext) -> Any:
            (event,) = create_request(found, command, context)
            return (event.model_copy(update={"message": "x" * 524_289}),)

        await mesh.start(mesh.planted({CreateRequest: decide}))
        outcome = await mesh.outcome(request, await mesh.publish("CreateRequest", request, create(request)))
        assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "TOO_LARGE")
        assert await mesh.stream(request) == []


async def test_a_redrive_while_a_batch_is_loaded_does_not_fold_an_event_twice(mesh_settings: MeshSettings) -> None:
    """The redrive appends and caches its state between the batch's look at the cache and the store's answer."""
    async with Mesh(mesh_settings) as mesh:
        request = new_id()
        poison = Poison(request)
        worker = mesh.planted(poison.decisions)
        await mesh.start(worker)
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        await mesh.letters(count=1)
        poison.requests.clear()
        load = worker._processor._store.load
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def slow_load(queries: Any) -> Any:
            if any("c2" in query.command_ids for query in queries) and not entered.is_set():
                entered.set()
                await go_on.wait()
            return await load(queries)

        worker._processor._store.load = slow_load  # type: ignore[method-assign]
        await mesh.publish("UpdateRequest", request, update(request, "Newer"), command_id="c2")
        await asyncio.wait_for(entered.wait(), 10)
        await mesh.requeue(1)

        async def applied() -> bool:
            return (await mesh.store.outcomes([(request, "c1")]))[request, "c1"].kind is OutcomeKind.EVENTS

        await wait_for(applied, 10, "the redrive")
        go_on.set()
        assert (await mesh.outcome(request, "c2")).kind is OutcomeKind.EVENTS
        assert await mesh.stream(request) == ["RequestCreated", "RequestUpdated"]
        assert len(await mesh.letters()) == 1
        await mesh.counts(2, "retries_total", name="decide")


async def test_where_one_attempt_is_allowed_a_defect_parks_at_once_and_a_redrive_still_tries(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, attempts_before_parking=1) as mesh:
        request = new_id()
        poison = Poison(request)
        await mesh.start(mesh.planted(poison.decisions))
        await mesh.publish("CreateRequest", request, create(request), command_id="c1")
        (letter,) = await mesh.letters(count=1)
        assert (poison.tries, letter.attempts) == (["c1"], 1)
        poison.requests.clear()
        await mesh.requeue(letter.position)

        async def applied() -> bool:
            return (await mesh.store.outcomes([(request, "c1")]))[request, "c1"].kind is OutcomeKind.EVENTS

        await wait_for(applied, 10, "the redrive")
