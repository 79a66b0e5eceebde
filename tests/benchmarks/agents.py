"""Agents in great number: registered over Kafka by the product's own worker, then known to a dispatcher; seconds and megabytes."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from uuid import UUID

import uvloop

from contracts.agents.commands import RegisterAgent
from contracts.agents.values import Capability
from contracts.envelope import Metadata, command_headers, encode_stored
from contracts.ids import AgentId, TenantId
from contracts.tasks.events import TaskAssigned, TaskCompleted, TaskQueued, TaskStarted
from contracts.tasks.examples import EXAMPLES
from contracts.topics import commands_topic, events_topic
from infra.event_store.postgres import PostgresEventStore
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.postgres.pool import Database
from services.dispatcher.dispatch import Dispatcher
from services.dispatcher.feed import AGENTS, TASKS, Feed
from services.dispatcher.start import begin
from tests.benchmarks.arena import Arena, Servers
from tests.benchmarks.measure import used
from tests.benchmarks.pipelines import running
from tests.benchmarks.stages import PATIENCE, POLL_SECONDS, Stage

MEGABYTE = 1024 * 1024
PAGE = 2_000
SKILLS = 40
KINDS = ("triage", "research", "resolution")
PAST = [(event, dict(EXAMPLES[event])) for event in (TaskQueued, TaskAssigned, TaskStarted, TaskCompleted)]
OPEN = 200


def registrations(prefix: str, count: int) -> Iterator[OutgoingRecord]:
    """RegisterAgent of `count` agents of three kinds, with some hundred sets of capabilities."""
    for number in range(count):
        agent_id = str(UUID(int=number + (1 << 120), version=4))
        names = {f"skill-{number % SKILLS}", f"skill-{number * 7 % SKILLS}", "text"}
        command = RegisterAgent(
            tenant_id=TenantId(f"tenant-{number % 20}"),
            agent_id=AgentId(agent_id),
            name=f"Agent {number}",
            kind=KINDS[number % len(KINDS)],
            capabilities=tuple(Capability(name=name, level=1 + number % 5) for name in sorted(names)),
            limit=4,
        )
        metadata = Metadata(
            agent_id, command.type_name, "/benchmark", agent_id, "2026-01-01T00:00:00Z", command.tenant_id, "system", "benchmark",
            agent_id, agent_id,
        )  # fmt: skip
        yield OutgoingRecord(prefix + commands_topic(AGENTS), agent_id.encode(), command.to_json(), command_headers(metadata))


def ten_thousand(servers: Servers, count: int) -> list[Stage]:
    """From the first command published to the last event stored; then a dispatcher reads the log: its time, and what it holds."""
    with Arena(servers, "agents") as arena:
        with running("product", arena, AGENTS):
            registered = _registered(arena, count)
        return [registered, uvloop.run(_known(arena, count))]


def _registered(arena: Arena, count: int) -> Stage:
    records = list(registrations(arena.prefix, count))
    before, started = arena.meter.snapshot(), time.monotonic()
    uvloop.run(_publish(arena, records))
    published = time.monotonic() - started
    with arena.connect() as connection:
        while (row := connection.execute("SELECT position FROM agents.log_head").fetchone()) is None or int(str(row[0])) < count:
            if time.monotonic() - started > PATIENCE:
                raise RuntimeError(f"{row} of {count} agents after {PATIENCE:.0f} s")
            arena.children.check()
            time.sleep(POLL_SECONDS)
    seconds, spent = time.monotonic() - started, used(before, arena.meter.snapshot())
    postgres = spent.get("postgres", 0.0) * 1e6 / count
    return Stage("agents registered over Kafka", count, seconds, spent[AGENTS] * 1e6 / count, postgres, {"published_seconds": published})


async def _publish(arena: Arena, records: list[OutgoingRecord]) -> None:
    publisher = PagePublisher(arena.settings, arena.bootstrap, "benchmark-agents")
    try:
        for start in range(0, len(records), PAGE):
            await publisher.publish(records[start : start + PAGE])
    finally:
        await publisher.close()


async def _known(arena: Arena, count: int) -> Stage:
    database = Database(arena.settings, arena.dsn, name="bench")
    await database.open()
    try:
        stores = {context: PostgresEventStore(database, context) for context in (AGENTS, TASKS)}
        before, cpu, started = arena.meter.snapshot(), time.process_time(), time.monotonic()
        await Feed(stores, Dispatcher(), PAGE).read_new()
        seconds, client = time.monotonic() - started, (time.process_time() - cpu) * 1e6 / count
        postgres = used(before, arena.meter.snapshot()).get("postgres", 0.0) * 1e6 / count
        tracemalloc.start()
        dispatcher = Dispatcher()
        await Feed(stores, dispatcher, PAGE).read_new()
        held = tracemalloc.get_traced_memory()[0] / MEGABYTE
        tracemalloc.stop()
        if len(dispatcher.directory) != count:
            raise RuntimeError(f"the directory knows {len(dispatcher.directory)} of {count} agents")
        return Stage("a dispatcher reads the agents", count, seconds, client, postgres, {"held_mb": held})
    finally:
        await database.close()


def new_leader(servers: Servers, count: int) -> list[Stage]:
    """A dispatcher begins beside `count` old tasks of four events each and a few open ones: from the whole log, then from read models."""
    with Arena(servers, "start") as arena:
        _old_tasks(arena, count)
        return uvloop.run(_starts(arena, count * len(PAST)))


def _old_tasks(arena: Arena, count: int) -> None:
    """The log and the read model of tasks as they are long after; the last OPEN tasks have only begun."""
    copy = "COPY tasks.stored_events (originator_id, originator_version, topic, state, notification_id) FROM STDIN WITH (FORMAT binary)"
    rows = """
        INSERT INTO read_tasks.tasks (task_id, tenant_id, task_type, kind, subject_id, status, priority, attempt, max_attempts, queued_at,
                                      version, position)
        SELECT 'task-' || n, 'acme', 'triage', 'triage', 'r', CASE WHEN n < %(old)s THEN 'done' ELSE 'queued' END, 2, 1, 3, now(), 1, n
        FROM generate_series(0, %(old)s + %(open)s - 1) n"""
    checkpoints = "INSERT INTO mesh.checkpoints SELECT 'tasks', %s, p, 0, %s FROM generate_series(0, %s) p"
    with arena.connect() as connection, connection.cursor() as cursor, connection.transaction():
        with cursor.copy(copy) as log:
            log.set_types(["text", "int8", "text", "bytea", "int8"])
            position = 0
            for number in range(count + OPEN):
                for version, (event, example) in enumerate(PAST if number < count else PAST[:1], start=1):
                    position += 1
                    task_id = f"task-{number}"
                    metadata = Metadata(
                        f"e{position}",
                        event.type_name,
                        "/agentmesh/tasks",
                        task_id,
                        "2026-01-01T00:00:00Z",
                        "acme",
                        "system",
                        "x",
                        "c",
                        "c",
                    )
                    state = encode_stored(metadata, event.model_validate({**example, "task_id": task_id}).to_json())
                    log.write_row((task_id, version, event.type_name, state, position))
        cursor.execute("UPDATE tasks.log_head SET position = %s", (position,))
        cursor.execute(rows.encode(), {"old": count, "open": OPEN})
        cursor.execute(checkpoints.encode(), (arena.prefix + events_topic(TASKS), position, arena.partitions - 1))
    with arena.connect() as connection:
        connection.execute("ANALYZE read_tasks.tasks, tasks.stored_events")
    arena.checkpoint()


async def _starts(arena: Arena, events: int) -> list[Stage]:
    database = Database(arena.settings, arena.dsn, name="bench")
    await database.open()
    found = []
    try:
        stores = {context: PostgresEventStore(database, context) for context in (AGENTS, TASKS)}
        for name in ("start from the whole log", "start from read models"):
            feed = Feed(stores, dispatcher := Dispatcher(), PAGE)
            before, cpu, started = arena.meter.snapshot(), time.process_time(), time.monotonic()
            if name.endswith("models"):
                await begin(database, stores, dispatcher, feed, arena.prefix, arena.partitions)
            await feed.read_new()
            seconds, client = time.monotonic() - started, (time.process_time() - cpu) * 1e6 / events
            postgres = used(before, arena.meter.snapshot()).get("postgres", 0.0) * 1e6 / events
            if len(dispatcher.waiting) != OPEN:
                raise RuntimeError(f"{name}: {len(dispatcher.waiting)} tasks wait, not {OPEN}")
            found.append(Stage(name, events, seconds, client, postgres, {"seconds": seconds}))
        return found
    finally:
        await database.close()


AGENT_STAGES: dict[str, tuple[Callable[[Servers, int], list[Stage]], int, int]] = {
    "agents": (ten_thousand, 10_000, 10_000),
    "leader": (new_leader, 50_000, 250_000),
}
