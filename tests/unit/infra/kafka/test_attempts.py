"""When a consumer's polls count as attempts, and when they do not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from infra.kafka.attempts import LOOKS, Attempts

PARTITION = TopicPartition("t", 0)


class Consumer:
    """What `Attempts` looks at, of an aiokafka consumer with one partition."""

    def __init__(self, *, position: int | None = 10, end: int = 10, paused: bool = False) -> None:
        self.position, self.end, self.paused = position, end, paused
        self.away = False
        self.reassigning = False
        self._fetcher = SimpleNamespace(error_future=asyncio.get_running_loop().create_future())
        self._coordinator = SimpleNamespace(coordinator_id=1)

    @property
    def _subscription(self) -> Any:
        state = SimpleNamespace(paused=self.paused, has_valid_position=self.position is not None, position=self.position)
        assignment = SimpleNamespace(tps={PARTITION}, state_value=lambda _: state)
        return SimpleNamespace(subscription=SimpleNamespace(assignment=assignment), reassignment_in_progress=self.reassigning)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.away:
            raise KafkaConnectionError("away")
        return dict.fromkeys(partitions, self.end)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def polls_count(attempts: Attempts, clock: Clock, consumer: Consumer, looks: int = LOOKS + 1) -> bool:
    """Poll in vain and look, several times; whether the last poll still counted."""
    for _ in range(looks):
        clock.now += 10
        attempts.polled()
        attempts.brought(0)
        await attempts.look(consumer)  # type: ignore[arg-type]
    clock.now += 10
    attempts.polled()
    return attempts.last == clock.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(clock)


async def test_a_consumer_at_the_end_is_not_stuck(attempts: Attempts, clock: Clock) -> None:
    assert await polls_count(attempts, clock, Consumer(position=10, end=10))


@pytest.mark.parametrize("position", [9, None])
async def test_polls_that_bring_nothing_of_a_backlog_do_not_count(attempts: Attempts, clock: Clock, position: int | None) -> None:
    assert not await polls_count(attempts, clock, Consumer(position=position, end=10))


async def test_a_few_looks_are_no_proof(attempts: Attempts, clock: Clock) -> None:
    assert await polls_count(attempts, clock, Consumer(position=9, end=10), looks=LOOKS)


async def test_a_paused_partition_is_not_expected_to_bring_anything(attempts: Attempts, clock: Clock) -> None:
    assert await polls_count(attempts, clock, Consumer(position=9, end=10, paused=True))


async def test_a_rebalance_is_no_backlog(attempts: Attempts, clock: Clock) -> None:
    consumer = Consumer(position=9, end=10)
    consumer.reassigning = True
    assert await polls_count(attempts, clock, consumer)


async def test_a_broker_that_is_away_is_no_reason_to_die(attempts: Attempts, clock: Clock) -> None:
    consumer = Consumer(position=9, end=10)
    consumer.away = True
    assert await polls_count(attempts, clock, consumer, looks=20)


async def test_looking_for_the_coordinator_is_an_attempt_even_while_a_poll_waits_without_limit(attempts: Attempts, clock: Clock) -> None:
    consumer = Consumer()
    consumer.reassigning = True
    clock.now = 100
    await attempts.look(consumer)  # type: ignore[arg-type]
    assert attempts.last == 0
    consumer._coordinator.coordinator_id = None
    await attempts.look(consumer)  # type: ignore[arg-type]
    assert attempts.last == 100


async def test_a_batch_in_work_is_not_a_poll_in_vain(attempts: Attempts, clock: Clock) -> None:
    consumer = Consumer(position=9, end=10)
    for _ in range(LOOKS + 2):
        await attempts.look(consumer)  # type: ignore[arg-type]
    clock.now = 5
    attempts.polled()
    assert attempts.last == 5


async def test_a_fetch_task_that_ended_unseen_is_seen(attempts: Attempts, clock: Clock) -> None:
    consumer = Consumer()
    consumer._fetcher.error_future.set_result(None)
    assert not await polls_count(attempts, clock, consumer, looks=1)


async def test_records_prove_that_it_works_again(attempts: Attempts, clock: Clock) -> None:
    assert not await polls_count(attempts, clock, Consumer(position=9, end=10))
    attempts.brought(1)
    clock.now += 1
    attempts.polled()
    assert attempts.last == clock.now
