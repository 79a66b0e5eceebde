"""Each stage alone, with raw beside it where it has the same; and the product with one command a transaction, for contrast."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psycopg
import uvloop

from contracts.envelope import Metadata, encode_stored
from contracts.requests.commands import CreateRequest
from contracts.requests.events import RequestCreated
from contracts.topics import events_topic
from infra.event_store.base import AggregateAppend, NewEvent, NewOutcome, OutcomeKind
from infra.event_store.postgres import PostgresEventStore
from infra.postgres.pool import Database
from infra.read_models.rebuild import Rebuild
from projections.requests.projection import REQUESTS
from tests.benchmarks import raw_pipeline
from tests.benchmarks.arena import Arena, Servers
from tests.benchmarks.load import records
from tests.benchmarks.measure import used
from tests.benchmarks.pipelines import Pipeline, publisher, running
from tests.benchmarks.throughput import burst

BATCH = 500
POLL_SECONDS = 0.05
PATIENCE = 300.0
SINGLE_WARM = 200
TYPE = RequestCreated.type_name


@dataclass(slots=True)
class Stage:
    """What one stage made alone."""

    name: str
    events: int
    seconds: float
    client_us: float
    """CPU microseconds an event in the stage's own process."""
    postgres_us: float
    more: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.events / self.seconds


# --- a log to work on -------------------------------------------------------------------------------------------------


def stored_rows(count: int, seed: int = 7) -> list[tuple[str, str, bytes, bytes]]:
    """Aggregate id, command id, payload and stored form of `count` first events."""
    rows = []
    now = "2026-01-01T00:00:00.000000Z"
    for key, value, headers in records(seed, 0, count):
        command = CreateRequest.from_json(value)
        event = RequestCreated.model_validate(
            {
                **command.model_dump(exclude={"timestamp"}),
                "thread_id": f"thread-{command.request_id[4:]}",
                "created_at": now,
                "requested_at": now,
            }
        )
        command_id = headers[0][1].decode()
        metadata = Metadata(
            "e" + command_id[1:], TYPE, "/agentmesh/requests", command.request_id, now, command.tenant_id, "unknown", "unknown",
            command_id, command_id,
        )  # fmt: skip
        rows.append((key.decode(), command_id, value, encode_stored(metadata, event.to_json())))
    return rows


def fill_log(arena: Arena, count: int) -> None:
    """Put `count` events into the product's log, at positions from 1, without going through a worker."""
    with arena.connect() as connection, connection.cursor() as cursor, connection.transaction():
        copy = (
            "COPY requests.stored_events (originator_id, originator_version, topic, state, notification_id) FROM STDIN WITH (FORMAT binary)"
        )
        with cursor.copy(copy) as rows:
            rows.set_types(["text", "int8", "text", "bytea", "int8"])
            for position, (aggregate_id, _, _, state) in enumerate(stored_rows(count), start=1):
                rows.write_row((aggregate_id, 1, TYPE, state, position))
        cursor.execute("UPDATE requests.log_head SET position = %s", (count,))
    with arena.connect() as connection:
        connection.execute("ANALYZE requests.stored_events")
    arena.checkpoint()


# --- the append -------------------------------------------------------------------------------------------------------


def append_alone(servers: Servers, count: int) -> list[Stage]:
    """The product's append and the raw insert, batch by batch in turns on one connection each; no decoding, no deciding."""
    with Arena(servers, "append") as arena:
        with arena.connect() as connection:
            raw_pipeline.make_tables(connection)
        return uvloop.run(_append_alone(arena, stored_rows(count)))


async def _append_alone(arena: Arena, rows: list[tuple[str, str, bytes, bytes]]) -> list[Stage]:
    database = Database(arena.settings, arena.dsn, name="bench")
    await database.open()
    store = PostgresEventStore(database, "requests")
    connection = await raw_pipeline.connect(arena.settings)
    timings: dict[str, list[tuple[float, float]]] = {"append, product": [], "append, raw insert": []}

    async def product(batch: list[tuple[str, str, bytes, bytes]]) -> None:
        appends = [
            AggregateAppend(
                aggregate_id,
                0,
                outcomes=[NewOutcome(command_id, OutcomeKind.EVENTS, None, 1, 1, 0, value[:8])],
                events=[NewEvent(TYPE, state)],
            )
            for aggregate_id, command_id, value, state in batch
        ]
        refused = await store.append(appends)
        if refused:
            raise RuntimeError(f"the append refused {len(refused)} of {len(batch)}")

    async def raw(batch: list[tuple[str, str, bytes, bytes]]) -> None:
        ids, commands, values, states = zip(*batch, strict=True)
        parameters = {
            "ids": list(ids), "commands": list(commands), "hashes": [value[:8] for value in values], "types": [TYPE] * len(batch),
            "states": list(states),
        }  # fmt: skip
        await connection.execute(raw_pipeline.INSERT, parameters, prepare=True, binary=True)

    try:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            for name, work in (("append, product", product), ("append, raw insert", raw)):
                wall, cpu = time.perf_counter(), time.process_time()
                await work(batch)
                timings[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    finally:
        await connection.close()
        await database.close()
    return [_append_stage(name, found) for name, found in timings.items()]


def _append_stage(name: str, timings: list[tuple[float, float]]) -> Stage:
    # The first tenth warms up; medians, because a checkpoint or a neighbour can hold any single batch.
    counted = timings[len(timings) // 10 :]
    events = len(counted) * BATCH
    wall, cpu = median(each[0] for each in counted), median(each[1] for each in counted)
    return Stage(name, events, len(counted) * wall, cpu * 1e6 / BATCH, float("nan"))


# --- workers alone ----------------------------------------------------------------------------------------------------


def progress(arena: Arena, name: str, process: str, query: str, count: int) -> Stage:
    """Watch a number in the database grow to `count`; what happened before the first look at a positive number is start-up."""
    with arena.connect() as connection:
        first, before, at = 0, arena.meter.snapshot(), time.monotonic()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            done = _number(connection, query)
            if done and not first:
                first, before, at = done, arena.meter.snapshot(), time.monotonic()
            if done >= count:
                after = arena.meter.snapshot()
                spent = used(before, after)
                events = max(1, done - first)
                return Stage(name, events, time.monotonic() - at, spent[process] * 1e6 / events, spent.get("postgres", 0.0) * 1e6 / events)
            arena.children.check()
            time.sleep(POLL_SECONDS)
    raise RuntimeError(f"{name}: {done} of {count} after {PATIENCE:.0f} s")


def _number(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query, prepare=True).fetchone()
    return int(row[0] or 0) if row else 0


def commands_alone(servers: Servers, count: int) -> list[Stage]:
    """The command worker, then the raw insert stage, each over preloaded commands."""
    queries = {"product": "SELECT position FROM requests.log_head", "raw": "SELECT last_value FROM raw.stored_events_notification_id_seq"}
    names = {"product": "requests", "raw": "insert"}
    found = []
    for kind, query in queries.items():
        with Arena(servers, f"commands-{kind}") as arena:
            load = publisher(arena, "burst", count=count, seed=5)
            load.hear()
            load.say("go")
            load.hear()
            arena.children.stop(load)
            with running(kind, arena, names[kind]):
                # A sequence that was never used says 1.
                found.append(progress(arena, f"commands, {kind}", names[kind], f"SELECT nullif(({query}), 1)", count))
    return found


def relay_projection_rebuild(servers: Servers, count: int) -> list[Stage]:
    """One log, three readers of it in turn: the relay, the projection worker from Kafka, a rebuild of the read model."""
    with Arena(servers, "log") as arena:
        fill_log(arena, count)
        found = []
        with running("product", arena, "relay"):
            found.append(progress(arena, "relay", "relay", "SELECT max(position) FROM mesh.relay_positions", count))
        _start_from_kafka(arena)
        arena.checkpoint()
        with running("product", arena, "projections"):
            query = "SELECT sum(next_offset) FROM mesh.checkpoints"
            found.append(progress(arena, "projection from Kafka", "projections", query, count))
        arena.checkpoint()
        found.append(uvloop.run(_rebuild(arena)))
        return found


def _start_from_kafka(arena: Arena) -> None:
    """Checkpoints of a read model that has applied position 1, so that the worker reads Kafka from its start and not the store."""
    topic = arena.prefix + events_topic("requests")
    with arena.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO mesh.checkpoints (projection, topic, partition, next_offset, position) VALUES ('requests', %s, %s, 0, 1)",
            [(topic, number) for number in range(arena.partitions)],
        )
        # What the checkpoints say must be true, or a rebuild would find a difference: event 1 leaves the log.
        cursor.execute("DELETE FROM requests.stored_events WHERE notification_id = 1")


async def _rebuild(arena: Arena) -> Stage:
    database = Database(arena.settings, arena.dsn, name="bench")
    await database.open()
    try:
        rebuild = Rebuild(database, REQUESTS, {"requests": PostgresEventStore(database, "requests")}, arena.partitions, arena.prefix)
        before, cpu = arena.meter.snapshot(), time.process_time()
        report = await rebuild.run(lambda done, of: None)
        spent = used(before, arena.meter.snapshot())
        client = (time.process_time() - cpu) * 1e6 / report.events
        return Stage(
            "rebuild", report.events, report.seconds, client, spent.get("postgres", 0.0) * 1e6 / report.events,
            {"rows": float(report.rows), "locked_seconds": report.locked_seconds},
        )  # fmt: skip
    finally:
        await database.close()


# --- one at a time ----------------------------------------------------------------------------------------------------


def single(servers: Servers, count: int) -> list[Stage]:
    """The product with batches of one record, for contrast: a transaction a command."""
    with Arena(servers, "single", AGENTMESH_BATCH_MAX_RECORDS="1") as arena, running("product", arena) as pipeline:
        _through(pipeline, SINGLE_WARM, 8)
        done = burst(pipeline, count, 9)
        return [Stage("one command a batch, end to end", count, done.seconds, done.cpu_us["requests"], done.cpu_us.get("postgres", 0.0))]


def _through(pipeline: Pipeline, count: int, seed: int) -> None:
    burst(pipeline, count, seed)


STAGES: dict[str, tuple[Callable[[Servers, int], list[Stage]], int, int]] = {
    # name: (benchmark, quick count, full count)
    "append": (append_alone, 50_000, 200_000),
    "commands": (commands_alone, 40_000, 100_000),
    "log": (relay_projection_rebuild, 200_000, 400_000),
    "single": (single, 1_500, 5_000),
}
