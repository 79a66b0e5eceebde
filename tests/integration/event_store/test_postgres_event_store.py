"""The event store on Postgres: the suite of the port, and the interleavings that only real transactions have."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import AsyncConnection

from infra.dead_letters.postgres import PostgresDeadLetters
from infra.errors import DataError
from infra.event_store.base import AppendMode, DeadLetter, NewEvent, ParkCause
from infra.event_store.postgres import PostgresEventStore, append_parameters
from infra.postgres.arrays import register_columns
from infra.postgres.pool import Database
from infra.settings import load_settings
from tests.conformance.event_store import EVENT_TYPE, Batch, EventStoreSuite, letter, stored, undecodable, whole_log
from tests.mesh import wait_for

pytestmark = pytest.mark.integration


class Letters:
    """The dead letters of a store, as the suite asks for them."""

    def __init__(self, database: Database, store: PostgresEventStore) -> None:
        self._store = store
        self._letters = PostgresDeadLetters(database, store.context)

    async def find_all(self) -> list[DeadLetter]:
        return await self._store.dead_letters()

    async def status(self) -> dict[int, str]:
        return {found.position: found.status for found in await self.find_all()}

    async def requeue(self, positions: list[int]) -> list[int]:
        return await self._letters.requeue(positions, "ann", "mended")

    async def discard(self, position: int, who: str, why: str) -> bool:
        return await self._letters.discard(position, who, why)


@pytest.fixture
def database(shared_database: str) -> str:
    """An empty event store."""
    with psycopg.connect(shared_database, autocommit=True) as admin:
        admin.execute("TRUNCATE requests.stored_events, requests.inbox, requests.rejections, requests.dead_letters")
        admin.execute("UPDATE requests.log_head SET position = 0")
    return shared_database


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(pool_min_size=1, database_url=database), database)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def store(pool: Database) -> PostgresEventStore:
    return PostgresEventStore(pool, "requests")


@pytest.fixture
def letters(pool: Database, store: PostgresEventStore) -> Letters:
    return Letters(pool, store)


async def connect(dsn: str, *, autocommit: bool = False) -> AsyncConnection[Any]:
    connection = await AsyncConnection.connect(dsn, autocommit=autocommit)
    register_columns(connection.adapters)
    return connection


async def append_in(connection: AsyncConnection[Any], store: PostgresEventStore, *batches: Batch) -> list[Any]:
    """The append inside the connection's own transaction, which stays open."""
    parameters = append_parameters([batch.append for batch in batches])
    return await (await connection.execute(store._sql["append"], parameters, binary=True)).fetchall()


class TestPostgresEventStore(EventStoreSuite):
    """The whole suite."""


# -- two connections ---------------------------------------------------------------------------------------------------


async def waits_for_a_lock(pool: Database) -> bool:
    return bool(await pool.fetch(b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()", {}))


async def test_a_second_writer_waits_for_the_first_and_then_sees_what_it_committed(
    pool: Database, store: PostgresEventStore, database: str
) -> None:
    first = await connect(database)
    assert await append_in(first, store, Batch("a", 0).events("c1", 2)) == []
    second = asyncio.create_task(store.append([Batch("a", 0).events("c2").append, Batch("b", 0).events("c2").append]))
    await wait_for(lambda: waits_for_a_lock(pool), 5, "the second writer at the lock")
    assert (await store.head(), await store.read_log(0, 10)) == (0, []), "a reader never waits, and sees nothing uncommitted"
    await first.commit()
    assert await second == {"a": "version"}
    assert [(entry.position, entry.aggregate_id) for entry in await whole_log(store)] == [(1, "a"), (2, "a"), (3, "b")]
    await first.close()


async def test_an_append_that_is_rolled_back_leaves_no_hole_in_the_positions(
    pool: Database, store: PostgresEventStore, database: str
) -> None:
    first = await connect(database)
    await append_in(first, store, Batch("a", 0).events("c1", 5).rejects("c2"), Batch("p", 0).parks("c1"))
    second = asyncio.create_task(store.append([Batch("a", 0).events("c3").append]))
    await wait_for(lambda: waits_for_a_lock(pool), 5, "the second writer at the lock")
    await first.rollback()
    assert await second == {}
    assert [entry.position for entry in await whole_log(store)] == [1]
    await first.close()


async def test_a_writer_that_dies_in_its_transaction_holds_nobody_up(pool: Database, store: PostgresEventStore, database: str) -> None:
    victim = await connect(database)
    await append_in(victim, store, Batch("a", 0).events("c1"))
    second = asyncio.create_task(store.append([Batch("a", 0).events("c2").append]))
    await wait_for(lambda: waits_for_a_lock(pool), 5, "the second writer at the lock")
    await pool.fetch(b"SELECT pg_terminate_backend(%(pid)s)", {"pid": victim.info.backend_pid})
    assert await second == {}
    assert (await store.outcomes([("a", "c1"), ("a", "c2")])).keys() == {("a", "c2")}
    await victim.close()


async def test_parking_and_applying_the_same_aggregate_at_once_ends_in_one_of_the_two(
    pool: Database, store: PostgresEventStore, database: str
) -> None:
    """Two workers hold records of one aggregate (a foreign client partitions differently): one parks, the other must look again."""
    parking = await connect(database)
    assert await append_in(parking, store, Batch("a", 0).parks("c1")) == []
    applying = asyncio.create_task(store.append([Batch("a", 0).events("c2").append]))
    await wait_for(lambda: waits_for_a_lock(pool), 5, "the second writer at the lock")
    await parking.commit()
    assert await applying == {"a": "parked"}
    await parking.close()


async def test_a_discard_and_a_redrive_of_one_record_at_once_end_in_one_outcome(
    pool: Database, store: PostgresEventStore, letters: Letters, database: str
) -> None:
    await store.append([Batch("a", 0).parks("c1").append])
    await letters.requeue([1])
    redriving = await connect(database)
    assert await append_in(redriving, store, Batch("a", 0, AppendMode.REDRIVE, 1).events("c1")) == []
    discarding = asyncio.create_task(letters.discard(1, "ann", "too late"))
    await wait_for(lambda: waits_for_a_lock(pool), 5, "the discard at the lock")
    await redriving.commit()
    assert await discarding is False
    assert [entry.kind for entry in await whole_log(store)] == ["dead_letter", "event"]
    await redriving.close()


async def test_data_that_the_database_refuses_leaves_nothing_of_the_batch(store: PostgresEventStore) -> None:
    bad = Batch("b", 0).events("nul \x00 in an id")
    with pytest.raises(DataError):
        await store.append([Batch("a", 0).events("c1").append, bad.append])
    assert await store.head() == 0
    assert await store.append([Batch("a", 0).events("c1").append]) == {}


@pytest.mark.parametrize("unfit", [7, "lone surrogate \ud800", object()])
async def test_a_value_of_the_wrong_kind_is_refused_as_data(store: PostgresEventStore, unfit: Any) -> None:
    batch = Batch("a", 0)
    batch.append.events.append(NewEvent(unfit, stored("a", "e1")))
    with pytest.raises(DataError):
        await store.append([batch.append])


async def test_a_batch_of_the_largest_size_is_one_append(store: PostgresEventStore) -> None:
    big = b'{"blob":"' + b"x" * 500_000 + b'"}'
    batches = [Batch(f"a{number}", 0) for number in range(20)]
    for batch in batches:
        batch.events("c1")
        batch.append.events[0] = NewEvent(EVENT_TYPE, stored("a", "e").replace(b'{"tenant_id":"acme"}', big))
    batches += [Batch(f"s{number}", 0).events("c1", 3) for number in range(500)]
    assert await store.append([batch.append for batch in batches]) == {}
    assert await store.head() == 1_520


async def test_every_letter_of_a_dead_letter_survives_its_way_through_json(store: PostgresEventStore) -> None:
    batch = Batch("a", 0)
    batch.append.dead_letters.append(letter("c1", ParkCause.DEFECT, error_message='ü\u2028"\\\n' + "x" * 5_000, stack="y" * 50_000))
    await store.append([batch.append, undecodable()])
    found = await store.dead_letters()
    assert found[0].error_message.startswith('ü\u2028"\\\n')
    assert len(found[0].error_message) == 2_000
    assert len(found[0].stack) == 16_000


# -- the eventsourcing library ------------------------------------------------------------------------------------------


@contextmanager
def library_recorder(dsn: str, schema: str, *, db_functions: bool = False) -> Iterator[PostgresApplicationRecorder]:
    parts = urlsplit(dsn)
    with PostgresDatastore(
        dbname=parts.path.lstrip("/"),
        host=parts.hostname or "",
        port=parts.port or 5432,
        user=parts.username or "",
        password=parts.password or "",
        schema=schema,
        originator_id_type="text",
        enable_db_functions=db_functions,
    ) as datastore:
        yield PostgresApplicationRecorder(datastore)


async def test_the_librarys_own_recorder_reads_what_we_wrote(store: PostgresEventStore, database: str) -> None:
    await store.append([Batch("req-1", 0).events("c1", 2).rejects("c2").append, Batch("req-2", 0).events("c1").append])
    with library_recorder(database, "requests") as recorder:
        events = recorder.select_events("req-1")
        assert [(event.originator_id, event.originator_version, event.topic) for event in events] == [
            ("req-1", 1, EVENT_TYPE),
            ("req-1", 2, EVENT_TYPE),
        ]
        assert events[0].state == stored("req-1", "req-1-c1-0")
        assert [event.originator_version for event in recorder.select_events("req-1", gt=1)] == [2]
        notifications = recorder.select_notifications(start=1, limit=10)
        assert [(note.id, note.originator_id, note.originator_version) for note in notifications] == [
            (1, "req-1", 1),
            (2, "req-1", 2),
            (3, "req-2", 1),
        ]
        assert recorder.max_notification_id() == 3


# -- no gap for a tailing reader ----------------------------------------------------------------------------------------

Write = Callable[[AsyncConnection[Any], int, int], Awaitable[None]]
ReadAfter = Callable[[int], Awaitable[list[int]]]

WRITERS, TRANSACTIONS = 4, 25


async def passed_over(dsn: str, write: Write, read_after: ReadAfter) -> tuple[int, int]:
    """Several writers with delays inside their transactions and one reader that tails `position > last`: (read, passed over)."""
    done = asyncio.Event()
    seen: list[int] = []

    async def writer(number: int) -> None:
        delays = random.Random(number)
        connection = await connect(dsn)
        for transaction in range(TRANSACTIONS):
            await write(connection, number, transaction)
            await connection.execute("SELECT pg_sleep(%s)", (delays.uniform(0, 0.012),))
            await connection.commit()
        await connection.close()

    async def reader() -> None:
        last = 0
        while True:
            ended = done.is_set()
            page = await read_after(last)
            seen.extend(page)
            last = page[-1] if page else last
            if ended and not page:
                return

    tail = asyncio.create_task(reader())
    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    done.set()
    await tail
    assert seen == sorted(set(seen)), "the reader went back or read twice"
    return len(seen), WRITERS * TRANSACTIONS * 3 - len(seen)


@pytest.mark.parametrize("reader", ["read_log", "read_events"])
async def test_no_late_commit_is_passed_over_by_a_tailing_reader(store: PostgresEventStore, database: str, reader: str) -> None:
    async def write(connection: AsyncConnection[Any], number: int, transaction: int) -> None:
        aggregate = f"w{number}-{transaction}"
        assert await append_in(connection, store, Batch(aggregate, 0).events("c1", 3)) == []

    async def read_after(last: int) -> list[int]:
        if reader == "read_log":
            return [entry.position for entry in await store.read_log(last, 50)]
        return [event.position for event in (await store.read_events(last, 50))[0]]

    assert await passed_over(database, write, read_after) == (WRITERS * TRANSACTIONS * 3, 0)


async def test_the_tester_of_gaps_catches_the_librarys_database_functions(database: str) -> None:
    """The same writers and reader against POSTGRES_ENABLE_DB_FUNCTIONS: the tester must see what it exists to see."""
    with library_recorder(database, "library", db_functions=True) as recorder:
        async with await connect(database, autocommit=True) as admin:
            await admin.execute("CREATE SCHEMA library")
        recorder.create_table()
        recorder.insert_events([StoredEvent(originator_id="first", originator_version=1, topic="t", state=b"")])

        async def write(connection: AsyncConnection[Any], number: int, transaction: int) -> None:
            rows = ", ".join(f"ROW('w{number}-{transaction}', {version}, 't', ''::bytea)" for version in (1, 2, 3))
            await connection.execute(f"SELECT library.es_insert_events_text(ARRAY[{rows}]::library.stored_event_text[])".encode())

        async def read_after(last: int) -> list[int]:
            page = await asyncio.to_thread(recorder.select_notifications, max(last, 1), 50, inclusive_of_start=False)
            return [note.id for note in page]

        read, missed = await passed_over(database, write, read_after)
        assert missed > 0, f"all {read} were read: the tester would not notice a gap"
