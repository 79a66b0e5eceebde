"""The reference: plain aiokafka, pydantic, one-statement insert, plain aiokafka, unnest upsert; three processes, none of our promises.

It does the same work for a CreateRequest: decode, make the event, store it with an inbox row, publish it, write the read model's row. It
loads nothing, checks no version, parks nothing, reads of the envelope only ce_id and ce_type, commits offsets automatically, and sends
record by record.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from contracts.requests.commands import CreateRequest
from contracts.requests.events import RequestCreated
from contracts.requests.values import RequestStatus
from contracts.topics import commands_topic, events_topic
from infra.postgres.sql_files import read_sql
from infra.read_models import postgres as read_models
from infra.runtime.process import GC_THRESHOLD
from infra.settings import MeshSettings, load_settings
from projections.requests.projection import REQUESTS
from tests.benchmarks.children import end_with_parent, tell

INSERT_RECORDS = 500
TAIL_RECORDS = 2_000
UPSERT_RECORDS = 2_000
IDLE_SECONDS = 0.01
SCHEMA = "raw_read"
DECIDED_TYPE = RequestCreated.type_name

INSERT = b"SELECT * FROM raw.insert_batch(%(ids)b, %(commands)b, %(hashes)b, %(types)b, %(states)b)"
TAIL = (
    b"SELECT notification_id, originator_id, topic, state FROM raw.stored_events "
    b"WHERE notification_id > %(after)s ORDER BY notification_id LIMIT %(limit)s"
)
COLUMNS = {
    "request_id": "text", "tenant_id": "text", "customer_id": "text", "thread_id": "text", "message": "text", "priority": "smallint",
    "category": "text", "status": "text", "metadata": "text", "created_at": "timestamptz", "updated_at": "timestamptz",
    "version": "bigint", "position": "bigint",
}  # fmt: skip
UPSERT = (
    f"INSERT INTO {SCHEMA}.requests ({', '.join(COLUMNS)}) "
    f"SELECT {', '.join(name + '::jsonb' if name == 'metadata' else name for name in COLUMNS)} "
    f"FROM unnest({', '.join(f'%({name})b::{kind}[]' for name, kind in COLUMNS.items())}) AS u ({', '.join(COLUMNS)}) "
    "ON CONFLICT (request_id) DO UPDATE SET status = excluded.status, updated_at = excluded.updated_at, version = excluded.version"
).encode()
HISTORY = (
    f"INSERT INTO {SCHEMA}.request_history (request_id, version, tenant_id, position, event_id, event_type, occurred_at, auth_type,"
    " auth_id, correlation_id, causation_id, data)"
    " SELECT id, 1, tenant, position, event_id, %(type)s, at, 'unknown', 'unknown', event_id, event_id, data::jsonb"
    " FROM unnest(%(ids)b::text[], %(tenants)b::text[], %(positions)b::bigint[], %(event_ids)b::text[], %(times)b::timestamptz[],"
    " %(data)b::text[]) AS u (id, tenant, position, event_id, at, data) ON CONFLICT DO NOTHING"
).encode()


def make_tables(connection: psycopg.Connection[Any]) -> None:
    """The raw tables, and a read model with the very tables and indexes of the product's."""
    connection.execute(Path(__file__).with_name("raw.sql").read_bytes())
    connection.execute(f"CREATE SCHEMA {SCHEMA};\n".encode() + read_sql(REQUESTS.package, "schema.sql", SCHEMA))
    connection.execute(read_models.create_indexes(REQUESTS, SCHEMA))


async def connect(settings: MeshSettings) -> psycopg.AsyncConnection[Any]:
    """One plain connection."""
    return await psycopg.AsyncConnection.connect(
        settings.postgres_dsn, autocommit=True, options="-c jit=off -c plan_cache_mode=force_generic_plan"
    )


async def consumer(settings: MeshSettings, topic: str, group: str) -> AIOKafkaConsumer:
    """A plain group consumer that commits by itself."""
    made = AIOKafkaConsumer(
        settings.topic_prefix + topic,
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=settings.topic_prefix + group,
        enable_auto_commit=True,
        auto_offset_reset="earliest",
    )
    await made.start()
    return made


# --- stage 1: commands to rows ------------------------------------------------------------------------------------------------------------


async def insert(settings: MeshSettings, _history: bool) -> None:
    """Commands from Kafka into the event table and the inbox."""
    source = await consumer(settings, commands_topic("requests"), "raw.insert")
    connection = await connect(settings)
    settle()
    try:
        while True:
            found = await source.getmany(timeout_ms=500, max_records=INSERT_RECORDS)
            if records := [record for part in found.values() for record in part]:
                await connection.execute(INSERT, insert_parameters(records), prepare=True, binary=True)
    finally:
        await source.stop()
        await connection.close()


def insert_parameters(records: Sequence[ConsumerRecord]) -> dict[str, Any]:
    """Decode the commands and make their events."""
    ids, commands, hashes, types, states = [], [], [], [], []
    now = datetime.now(UTC)
    text = now.isoformat()
    for record in records:
        headers = dict(record.headers)
        command_id = headers["ce_id"].decode()
        if headers["ce_type"] != b"agentmesh.requests.CreateRequest.v1":
            raise ValueError("the raw pipeline knows one command")
        command = CreateRequest.from_json(record.value)
        event = RequestCreated(
            tenant_id=command.tenant_id,
            request_id=command.request_id,
            customer_id=command.customer_id,
            message=command.message,
            priority=command.priority,
            category=command.category,
            metadata=command.metadata,
            thread_id=command.thread_id or f"thread-{command.request_id}",
            created_at=now,
            requested_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        )
        ids.append(command.request_id)
        commands.append(command_id)
        hashes.append(blake2b(record.value, digest_size=8).digest())
        types.append(DECIDED_TYPE)
        # As wide as the product's stored form; the id of the event is that of its command.
        head = (
            f'{{"id":"{command_id}","source":"/agentmesh/requests","time":"{text}","tenantid":"{command.tenant_id}","authtype":"unknown",'
            f'"authid":"unknown","correlationid":"{command_id}","causationid":"{command_id}","data":'
        )
        states.append(b"%s%s}" % (head.encode(), event.to_json()))
    return {"ids": ids, "commands": commands, "hashes": hashes, "types": types, "states": states}


# --- stage 2: rows to events --------------------------------------------------------------------------------------------------------------


async def tail(settings: MeshSettings, _history: bool) -> None:
    """The event table onto Kafka, record by record."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all", linger_ms=2, max_batch_size=256 * 1024)
    await producer.start()
    connection = await connect(settings)
    topic = settings.topic_prefix + events_topic("requests")
    after = 0
    settle()
    try:
        while True:
            cursor = await connection.execute(TAIL, {"after": after, "limit": TAIL_RECORDS}, prepare=True, binary=True)
            rows = await cursor.fetchall()
            if not rows:
                await asyncio.sleep(IDLE_SECONDS)
                continue
            waits = []
            for _, aggregate_id, type_name, state in rows:
                head, _, data = state.partition(b',"data":')
                headers = [("ce_id", head[7:43]), ("ce_type", type_name.encode())]
                waits.append(await producer.send(topic, data[:-1], key=aggregate_id.encode(), headers=headers))
            await asyncio.gather(*waits)
            after = rows[-1][0]
    finally:
        await producer.stop()
        await connection.close()


# --- stage 3: events to read model --------------------------------------------------------------------------------------------------------


async def upsert(settings: MeshSettings, history: bool) -> None:
    """Events from Kafka into the read model's table."""
    source = await consumer(settings, events_topic("requests"), "raw.upsert")
    connection = await connect(settings)
    settle()
    try:
        while True:
            found = await source.getmany(timeout_ms=500, max_records=UPSERT_RECORDS)
            records = [record for part in found.values() for record in part]
            if not records:
                continue
            await write(connection, records, history)
    finally:
        await source.stop()
        await connection.close()


async def write(connection: psycopg.AsyncConnection[Any], records: Sequence[ConsumerRecord], history: bool) -> None:
    """One upsert for all records; on request the history rows too, in the same transaction."""
    events = [RequestCreated.from_json(record.value) for record in records]
    parameters = upsert_parameters(events, records)
    if not history:
        await connection.execute(UPSERT, parameters, prepare=True, binary=True)
        return
    more = {
        "type": DECIDED_TYPE,
        "ids": parameters["request_id"],
        "tenants": parameters["tenant_id"],
        "positions": parameters["position"],
        "event_ids": [dict(record.headers)["ce_id"].decode() for record in records],
        "times": parameters["created_at"],
        "data": [record.value.decode() for record in records],
    }
    async with connection.pipeline(), connection.transaction():
        await connection.execute(UPSERT, parameters, prepare=True, binary=True)
        await connection.execute(HISTORY, more, prepare=True, binary=True)


def upsert_parameters(events: Sequence[RequestCreated], records: Sequence[ConsumerRecord]) -> dict[str, Any]:
    """The columns of the rows."""
    created = [event.created_at for event in events]
    return {
        "request_id": [event.request_id for event in events],
        "tenant_id": [event.tenant_id for event in events],
        "customer_id": [event.customer_id for event in events],
        "thread_id": [event.thread_id for event in events],
        "message": [event.message for event in events],
        "priority": [int(event.priority) for event in events],
        "category": [event.category.value if event.category else None for event in events],
        "status": [RequestStatus.PENDING.value] * len(events),
        "metadata": [event.metadata_json() for event in events],
        "created_at": created,
        "updated_at": created,
        "version": [1] * len(events),
        "position": [record.offset for record in records],
    }


STAGES = {"insert": insert, "tail": tail, "upsert": upsert}


def settle() -> None:
    """The same garbage collection as the product's workers have, then say that work begins."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    tell("ready")


async def run(stage: str, history: bool) -> None:
    """One stage until SIGTERM."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await STAGES[stage](load_settings(), history)


def main() -> None:
    """Entry of a stage's process."""
    parser = argparse.ArgumentParser(description="One stage of the raw pipeline.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--history", action="store_true")
    arguments = parser.parse_args()
    end_with_parent()
    uvloop.run(run(arguments.stage, arguments.history))


if __name__ == "__main__":
    main()
