"""Latency from publish to event on Kafka and to read model, at a fixed share of the top rate; open loop, so that a queue shows.

How it is seen: a command is due at a time that follows from its number (see `load`). A tap reads the whole events topic, as any subscriber
would, and notes when each event arrives. The read model is asked by primary key, every 3 ms, for a sample of at most 200 commands a second:
those due and not yet seen. That is about 5 % of a core, and no write; what tap and asking cost is part of the figures.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.topics import events_topic
from tests.benchmarks.arena import Arena, Servers
from tests.benchmarks.load import TICK_SECONDS, number_of, request_id
from tests.benchmarks.measure import percentile, used
from tests.benchmarks.pipelines import Pipeline, publisher, running
from tests.benchmarks.throughput import WARM_UP, WARM_UP_SEED, warm_up

SEED = 3
SAMPLES_PER_SECOND = 200
ASK_SECONDS = 0.003
SHARES = (0.1, 0.5, 0.8)
PATIENCE = 60.0


@dataclass(slots=True)
class Latency:
    """Percentiles in milliseconds at one rate."""

    kind: str
    share: float
    rate: float
    event_p50: float
    event_p99: float
    row_p50: float
    row_p99: float
    samples: int
    publisher_late_ms: float
    cpu_us: dict[str, float] = field(default_factory=dict)


class Tap:
    """Reads the events topic in a thread of its own and notes when each command's event came."""

    def __init__(self, arena: Arena) -> None:
        self.seen: dict[int, float] = {}
        self.position = threading.Event()
        self._arena = arena
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="tap", daemon=True)
        self._thread.start()
        if not self.position.wait(30):
            raise RuntimeError("the tap could not read the events topic")

    async def _run(self) -> None:
        topic = self._arena.prefix + events_topic("requests")
        consumer = AIOKafkaConsumer(bootstrap_servers=self._arena.bootstrap)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(self._arena.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_end(*partitions)
            for partition in partitions:
                await consumer.position(partition)
            self.position.set()
            while not self._stop.is_set():
                found = await consumer.getmany(timeout_ms=200)
                now = time.monotonic()
                for records in found.values():
                    for record in records:
                        self.seen.setdefault(number_of(record.key), now)
        finally:
            await consumer.stop()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(10)


def ask(connection: psycopg.Connection[Any], table: str, due: dict[str, float], until: float) -> dict[str, float]:
    """When each sampled request became visible; asks until all are, or until the time given."""
    waiting = sorted(due, key=due.__getitem__)
    seen: dict[str, float] = {}
    query = f"SELECT request_id FROM {table} WHERE request_id = ANY (%s)"
    while waiting and (now := time.monotonic()) < until:
        ready = []
        for each in waiting:
            if due[each] > now:
                break
            ready.append(each)
        if ready:
            rows = connection.execute(query, (ready,), prepare=True).fetchall()
            at = time.monotonic()
            for (found,) in rows:
                seen[found] = at
            if rows:
                waiting = [each for each in waiting if each not in seen]
        time.sleep(ASK_SECONDS)
    return seen


def paced_load(pipeline: Pipeline, share: float, rate: float, seconds: float) -> Latency:
    """One rate, some seconds."""
    arena = pipeline.arena
    per_tick = max(1, round(rate * TICK_SECONDS))
    ticks = round(seconds / TICK_SECONDS)
    seed = SEED + round(share * 100)
    load = publisher(arena, "paced", per_tick=per_tick, ticks=ticks, seed=seed)
    arena.meter.watch("publisher", load.pid)
    load.hear()
    tap = Tap(arena)
    before = arena.meter.snapshot()
    load.say("go")
    start = load.hear()["start"]
    step = max(1, round(per_tick / TICK_SECONDS / SAMPLES_PER_SECOND))
    # The first second fills pages and caches; it is sent, and not counted.
    first = round(1 / TICK_SECONDS) * per_tick
    due = {request_id(seed, number): start + number // per_tick * TICK_SECONDS for number in range(first, per_tick * ticks, step)}
    with arena.connect() as connection:
        rows = ask(connection, pipeline.visible, due, start + seconds + PATIENCE)
    ended = load.hear()
    after = arena.meter.snapshot()
    pipeline.wait_for(pipeline.visible, ended["last"], PATIENCE)
    tap.stop()
    arena.children.stop(load)
    events = [
        tap.seen[number] - (start + number // per_tick * TICK_SECONDS) for number in range(first, per_tick * ticks) if number in tap.seen
    ]
    visible = [(rows[each] - at) * 1e3 for each, at in due.items() if each in rows]
    if len(visible) < len(due):
        raise RuntimeError(f"{pipeline.name}: {len(due) - len(visible)} of {len(due)} sampled requests never became visible")
    sent = per_tick * ticks
    return Latency(
        pipeline.name, share, per_tick / TICK_SECONDS, percentile(events, 0.5) * 1e3, percentile(events, 0.99) * 1e3,
        percentile(visible, 0.5), percentile(visible, 0.99), len(visible), ended["late"] * 1e3,
        {name: spent * 1e6 / sent for name, spent in used(before, after).items()},
    )  # fmt: skip


def latency_round(servers: Servers, kind: str, top_rate: float, seconds: float) -> list[Latency]:
    """A fresh arena and a warm pipeline, then each share of the top rate in turn."""
    with Arena(servers, f"latency-{kind}") as arena, running(kind, arena) as pipeline:
        warm_up(pipeline, publisher(arena, "burst", count=WARM_UP, seed=WARM_UP_SEED))
        return [paced_load(pipeline, share, top_rate * share, seconds) for share in SHARES]
