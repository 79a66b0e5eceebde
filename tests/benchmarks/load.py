"""The publisher: a process of its own that sends CreateRequest commands, all at once or at a fixed rate; the same for raw and product.

A command's number is the last twelve digits of its request id, so whoever sees the id knows when it was due: the load is open-loop,
and a publisher or pipeline that falls behind shows as latency. Batches for the burst are built before the start signal.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from random import Random

import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from contracts.partitioning import partition_for
from contracts.topics import commands_topic
from infra.settings import load_settings
from tests.benchmarks.children import tell

TICK_SECONDS = 0.01
BATCH_BYTES = 64 * 1024
STREAM_CHUNK = 20_000
HEADERS_AFTER_ID = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"agentmesh.requests.CreateRequest.v1"),
    ("ce_source", b"/benchmark"),
    ("content-type", b"application/json"),
]
MESSAGES = (
    "My invoice of May shows a booking that I do not know, can you have a look at it?",
    "The export of last week's orders ends with an error after half an hour.",
    "Where do I change the address that parcels are sent to?",
    "I was charged twice for the same order and would like the second charge back.",
)
CATEGORIES = ("billing", "technical", "account", "billing")


def request_id(seed: int, number: int) -> str:
    """A request id as random as a UUID at its front, with the command's number at its end."""
    text = f"{Random(seed * 1_000_003 + number).getrandbits(80):020x}"
    return f"req-{text[:8]}-{text[8:12]}-4{text[12:15]}-a{text[15:18]}-{number:012x}"


def number_of(key: bytes) -> int:
    """The number of the command whose request id this is."""
    return int(key[-12:], 16)


def records(seed: int, first: int, count: int) -> Iterator[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    """Key, value and headers of commands first … first + count - 1."""
    for number in range(first, first + count):
        key = request_id(seed, number)
        which = number & 3
        value = (
            f'{{"tenant_id":"acme","request_id":"{key}","customer_id":"cust-{number % 10_000:04d}","message":"{MESSAGES[which]}",'
            f'"priority":{1 + (number >> 2) % 3 if which != 3 else 3},"category":"{CATEGORIES[which]}",'
            f'"metadata":{{"channel":"mail","order":"{number:010d}"}}}}'
        )
        yield key.encode(), value.encode(), [("ce_id", b"c" + key[5:].encode()), *HEADERS_AFTER_ID]


class Batches:
    """Kafka batches of commands, built partition by partition."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self._partitions = partitions
        self.built: list[list[BatchBuilder]] = [[] for _ in range(partitions)]
        self.last: dict[int, str] = {}
        self._sending = [asyncio.Lock() for _ in range(partitions)]

    def add(self, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Put a command into its partition's last batch, or into a new one."""
        partition = partition_for(key, self._partitions)
        batches = self.built[partition]
        if not batches or batches[-1].append(timestamp=None, key=key, value=value, headers=headers) is None:
            batch = self._producer.create_batch()
            batch.append(timestamp=None, key=key, value=value, headers=headers)
            batches.append(batch)
        self.last[partition] = key.decode()

    async def send(self, topic: str) -> None:
        """Send everything built so far; returns when the broker has it all."""
        await asyncio.gather(*[self._send(topic, partition) for partition, batches in enumerate(self.built) if batches])

    async def _send(self, topic: str, partition: int) -> None:
        # One sender a partition at a time (aiokafka serves several unfairly); what was built while it waited goes with it.
        async with self._sending[partition]:
            batches, self.built[partition] = self.built[partition], []
            waits = [await self._producer.send_batch(batch, topic, partition=partition) for batch in batches]
        await asyncio.gather(*waits)


async def burst(producer: AIOKafkaProducer, topic: str, partitions: int, seed: int, count: int) -> None:
    """Build all, wait for the word, send all."""
    batches = Batches(producer, partitions)
    for record in records(seed, 0, count):
        batches.add(*record)
    tell({"last": list(batches.last.values())})
    await asyncio.to_thread(sys.stdin.readline)
    started = time.monotonic()
    await batches.send(topic)
    tell({"started": started, "ended": time.monotonic()})


async def stream(producer: AIOKafkaProducer, topic: str, partitions: int, seed: int, count: int) -> None:
    """Build and send in chunks, as fast as that goes; for counts that do not fit in memory."""
    tell({})
    await asyncio.to_thread(sys.stdin.readline)
    started = time.monotonic()
    batches = Batches(producer, partitions)
    for first in range(0, count, STREAM_CHUNK):
        for record in records(seed, first, min(STREAM_CHUNK, count - first)):
            batches.add(*record)
        await batches.send(topic)
    tell({"started": started, "ended": time.monotonic(), "last": list(batches.last.values())})


async def paced(producer: AIOKafkaProducer, topic: str, partitions: int, seed: int, per_tick: int, ticks: int) -> None:
    """`per_tick` commands every 10 ms. Command n is due at start + (n // per_tick) * 10 ms, whether or not it was sent in time."""
    tell({})
    await asyncio.to_thread(sys.stdin.readline)
    made = records(seed, 0, per_tick * ticks)
    start = time.monotonic() + 0.25
    tell({"start": start})
    sending: set[asyncio.Task[None]] = set()
    late = 0.0
    batches = Batches(producer, partitions)
    for tick in range(ticks):
        for _ in range(per_tick):
            batches.add(*next(made))
        due = start + tick * TICK_SECONDS
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        late = max(late, time.monotonic() - due)
        task = asyncio.create_task(batches.send(topic))
        sending.add(task)
        task.add_done_callback(sending.discard)
    await asyncio.gather(*sending)
    tell({"ended": time.monotonic(), "late": late, "last": list(batches.last.values())})


async def run(arguments: argparse.Namespace) -> None:
    """One producer, one load."""
    settings = load_settings()
    topic = settings.topic_prefix + commands_topic("requests")
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, acks="all", max_batch_size=BATCH_BYTES, max_request_size=1_048_576, linger_ms=0
    )
    await producer.start()
    try:
        if arguments.mode == "paced":
            await paced(producer, topic, settings.partitions, arguments.seed, arguments.per_tick, arguments.ticks)
        else:
            work = burst if arguments.mode == "burst" else stream
            await work(producer, topic, settings.partitions, arguments.seed, arguments.count)
    finally:
        await producer.stop()


def main() -> None:
    """Entry of the publisher process."""
    parser = argparse.ArgumentParser(description="The benchmark's publisher.")
    parser.add_argument("mode", choices=("burst", "stream", "paced"))
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--per-tick", type=int, default=1)
    parser.add_argument("--ticks", type=int, default=0)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
