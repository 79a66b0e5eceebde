"""A stack of servers that may be killed, a mesh on it that belongs to one test, and the collection of everything that a run left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from contracts.rejections import rejection_id
from contracts.topics import commands_topic, dead_letters_topic, events_topic, rejections_topic, topics
from infra.kafka.topics import create_topics
from infra.local_stack.endpoints import Endpoints
from infra.local_stack.stack import postgres, server
from infra.migrations.runner import migrate
from projections.catalogue import read_models
from tests.chaos.checker import (
    CommandRecord,
    InboxRow,
    Journaled,
    Observed,
    Published,
    ReadRow,
    StoredRejection,
    StreamEvent,
)
from tests.conftest import delete_topics, drop_database, in_thread, with_database

PARTITIONS = 6
DATABASE_MARK = "chaos_"
TOPIC_MARK = "c-"
SETTLED = """
WITH wanted AS (SELECT * FROM unnest(%(aggregates)s::text[], %(commands)s::text[]) AS w (aggregate_id, command_id)),
     found AS (SELECT i.* FROM wanted JOIN requests.inbox i USING (aggregate_id, command_id))
SELECT (SELECT count(*) FROM found),
       (SELECT h.position = p.position FROM requests.log_head h, mesh.relay_positions p WHERE p.context = 'requests'),
       EXISTS (SELECT 1 FROM found f WHERE f.outcome = 'events' AND NOT EXISTS (
           SELECT 1 FROM read_requests.request_history r WHERE r.request_id = f.aggregate_id AND r.version = f.version))
"""
FINAL = {"RequestCompleted": "completed", "RequestDeleted": "deleted"}
STATUS = {"RequestCreated": "pending", "RequestTriaged": "triaged", "ResearchStarted": "in_progress", **FINAL}


@dataclass(frozen=True)
class Arena:
    """One test's mesh on the chaos stack: its own database and topics; the servers are shared and may be killed by whoever runs now."""

    root: Path
    dsn: str
    bootstrap: str
    prefix: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a worker of this mesh."""
        return {
            **os.environ,
            "ENVIRONMENT": "test",
            "LOG_LEVEL": "INFO",
            "DATABASE_URL": self.dsn,
            "REDIS_URL": "redis://127.0.0.1:1/0",  # no worker of this fleet uses it
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "AGENTMESH_HOME": str(self.home),
            "AGENTMESH_TOPIC_PREFIX": self.prefix,
            "AGENTMESH_PARTITIONS": str(PARTITIONS),
            "AGENTMESH_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "AGENTMESH_KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
            "AGENTMESH_POOL_MIN_SIZE": "2",
            # Small steps, many of them: a kill should fall into one.
            "AGENTMESH_BATCH_MAX_RECORDS": "50",
            "AGENTMESH_RELAY_PAGE_SIZE": "50",
        }

    def topic(self, name: str) -> str:
        """A topic of this mesh."""
        return self.prefix + name

    async def wait_for_work(self, behind: str, seconds: float) -> None:
        """Return when the statement answers true, so that a kill that follows meets work; at the latest after some seconds."""
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(seconds), await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
                while await (await connection.execute(behind.encode())).fetchone() != (True,):  # noqa: ASYNC110 - another process is asked
                    await asyncio.sleep(0.001)

    async def kill_broker(self, away_seconds: float = 0.0) -> None:
        """SIGKILL the broker, start it again on its port and data after a while."""
        broker = server(self.root, "kafka")
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(away_seconds)
        await asyncio.to_thread(broker.start)

    async def crash_postgres(self, away_seconds: float = 0.0) -> None:
        """Immediate shutdown: no checkpoint, sessions cut, recovery at the next start, on the same port."""
        database = postgres(self.root)
        await asyncio.to_thread(database.stop, "immediate")
        await asyncio.sleep(away_seconds)
        await asyncio.to_thread(database.start)


async def make_arena(root: Path, admin_dsn: str, bootstrap: str, home: Path) -> Arena:
    """A fresh database and fresh topics."""
    name = f"{DATABASE_MARK}{uuid.uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(admin_dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
    arena = Arena(root, with_database(admin_dsn, name), bootstrap, f"{TOPIC_MARK}{uuid.uuid4().hex[:12]}.", home)
    await asyncio.to_thread(migrate, arena.dsn, read_models())
    await create_topics(bootstrap, topics(PARTITIONS), arena.prefix)
    return arena


async def drop_arena(arena: Arena, admin_dsn: str) -> None:
    """Drop the database and the topics: a broker that holds those of many runs takes long to start."""
    await asyncio.to_thread(drop_database, admin_dsn, arena.dsn.rpartition("/")[2])
    await delete_topics(arena.bootstrap, arena.prefix)


def clear_leftovers(found: Endpoints) -> None:
    """Remove what runs that were killed left on the chaos stack; only called by the one run that has it."""
    with psycopg.connect(found.postgres_dsn, autocommit=True) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (DATABASE_MARK,)).fetchall()
    for (name,) in names:
        drop_database(found.postgres_dsn, name)
    in_thread(delete_topics(found.kafka_bootstrap, TOPIC_MARK))


# -- waiting -------------------------------------------------------------------------------------------------------------


async def settled(arena: Arena, journal: Sequence[Journaled], seconds: float) -> float | None:
    """Wait until these commands have outcomes, Kafka has the whole log and the read model every event of theirs; the seconds, or None.

    What another command's fault left out is not waited for.
    """
    started = time.monotonic()
    wanted = {(command.aggregate_id, command.command_id) for command in journal}
    parameters = {"aggregates": [pair[0] for pair in wanted], "commands": [pair[1] for pair in wanted]}
    while time.monotonic() - started < seconds:
        ((done, relayed, behind),) = await query(arena, SETTLED, parameters)
        if done == len(wanted) and relayed and not behind:
            return time.monotonic() - started
        await asyncio.sleep(0.2)
    return None


async def eventually(check: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait until `check`, which may be a coroutine function, answers something true."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        await asyncio.sleep(0.05)


# -- collecting ----------------------------------------------------------------------------------------------------------


async def collect(arena: Arena, journal: Sequence[Journaled]) -> Observed:
    """Read everything, by plain SQL and a plain consumer."""
    observed = Observed(journal=journal)
    observed.inbox = {
        (aggregate_id, command_id): InboxRow(outcome, version)
        for aggregate_id, command_id, outcome, version in await query(
            arena, "SELECT aggregate_id, command_id, outcome, version FROM requests.inbox"
        )
    }
    observed.streams, observed.folded = await _streams(arena)
    observed.rejections = [
        StoredRejection(aggregate_id, command_id, position, rejection_id(command_id))
        for aggregate_id, command_id, position in await query(arena, "SELECT aggregate_id, command_id, position FROM requests.rejections")
    ]
    letters = await query(arena, "SELECT cause, aggregate_id, command_id, error_type || ': ' || error_message FROM requests.dead_letters")
    observed.unreadable = sum(cause == "undecodable" for cause, *_ in letters)
    observed.parked = [(aggregate_id, command_id, error) for cause, aggregate_id, command_id, error in letters if cause != "undecodable"]
    observed.rows = {
        request_id: ReadRow(version, status, message, priority)
        for request_id, version, status, message, priority in await query(
            arena, "SELECT request_id, version, status, message, priority FROM read_requests.requests"
        )
    }
    observed.history = {
        (request_id, version): event_id
        for request_id, version, event_id in await query(arena, "SELECT request_id, version, event_id FROM read_requests.request_history")
    }
    parked_events = await query(arena, "SELECT aggregate_id, type_name, error_type FROM mesh.parked_events")
    observed.parked = [*observed.parked, *parked_events]
    await _topics(arena, observed)
    return observed


async def _streams(arena: Arena) -> tuple[dict[str, list[StreamEvent]], dict[str, ReadRow]]:
    streams: dict[str, list[StreamEvent]] = defaultdict(list)
    folded: dict[str, ReadRow] = {}
    for aggregate_id, version, position, type_name, state in await query(
        arena,
        "SELECT originator_id, originator_version, notification_id, topic, state FROM requests.stored_events ORDER BY 1, 2",
    ):
        stored = orjson.loads(state)
        streams[aggregate_id].append(StreamEvent(version, position, stored["id"], stored["causationid"]))
        data = stored["data"]
        before = folded.get(aggregate_id, ReadRow(0, "", "", 0))
        folded[aggregate_id] = ReadRow(
            version,
            STATUS.get(type_name.split(".")[-2], before.status),
            data.get("message") or before.message,
            data.get("assigned_priority") or data.get("priority") or before.priority,
        )
    return dict(streams), folded


async def _topics(arena: Arena, observed: Observed) -> None:
    commands = []
    for record in await read_topic(arena, commands_topic("requests")):
        command_id = dict(record.headers).get("ce_id")
        commands.append(
            CommandRecord(record.partition, record.offset, (record.key or b"").decode(), command_id.decode() if command_id else None)
        )
    observed.commands = sorted(commands, key=lambda record: record[:2])
    events = []
    for record in await read_topic(arena, events_topic("requests")):
        headers = {name: value.decode() for name, value in record.headers}
        events.append(
            Published(
                record.partition,
                record.offset,
                (record.key or b"").decode(),
                int(headers["ce_sequence"]),
                int(headers["ce_position"]),
                headers["ce_id"],
            )
        )
    observed.events_topic = events
    observed.rejections_topic = [dict(record.headers)["ce_id"].decode() for record in await read_topic(arena, rejections_topic("requests"))]
    letters = await read_topic(arena, dead_letters_topic("requests"))
    observed.dead_letters_topic = len({dict(record.headers)["dlq.position"] for record in letters})


async def read_topic(arena: Arena, name: str, seconds: float = 30.0) -> list[ConsumerRecord]:
    """Every record of a topic, up to its end now."""
    topic = arena.topic(name)
    consumer = AIOKafkaConsumer(bootstrap_servers=arena.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[ConsumerRecord] = []
        deadline = time.monotonic() + seconds
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            assert time.monotonic() < deadline, f"{name} could not be read to its end"
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(batch)
        return found
    finally:
        await consumer.stop()


async def query(arena: Arena, text: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """All rows of a statement; waits for a database that is away."""
    deadline = time.monotonic() + 60
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(arena.dsn, autocommit=True, connect_timeout=5) as connection:
                cursor = await connection.execute(text.encode(), parameters)
                return await cursor.fetchall()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
