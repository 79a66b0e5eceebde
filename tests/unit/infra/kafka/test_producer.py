"""How a page is put into batches, and what is left of it after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from infra.errors import TransientError
from infra.kafka import producer as module
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.settings import load_settings

PER_BATCH = 2


class Batch:
    """Takes two records, so that a small page needs several batches."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.closed = False

    def append(self, *, timestamp: int | None, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> object | None:
        if len(self.values) == PER_BATCH:
            return None
        self.values.append(value)
        return object()

    def close(self) -> None:
        self.closed = True


class Producer:
    """An AIOKafkaProducer without a broker: `outcome` says what becomes of a batch."""

    def __init__(self, outcome: Callable[[list[bytes]], BaseException | None]) -> None:
        self._outcome = outcome
        self.sent: list[list[bytes]] = []
        self.unanswered = 0
        self.most_unanswered = 0
        self.hangs = False
        self.closed = False
        self._sender = SimpleNamespace(sender_task=None)
        self.client = SimpleNamespace(close=self._close)

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def stop(self) -> None:
        if self.hangs:
            await asyncio.sleep(60)
        self.closed = True

    async def _close(self) -> None:
        self.closed = True

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent.append(batch.values)
        self.unanswered += 1
        self.most_unanswered = max(self.most_unanswered, self.unanswered)
        asyncio.get_running_loop().call_later(0.01, self._answer, answer, batch.values)
        return answer

    def _answer(self, answer: asyncio.Future[None], values: list[bytes]) -> None:
        self.unanswered -= 1
        failure = self._outcome(values)
        answer.set_exception(failure) if failure is not None else answer.set_result(None)


def page(*values: bytes) -> list[OutgoingRecord]:
    return [OutgoingRecord("events", b"a", value, []) for value in values]


@pytest.fixture
def publisher() -> PagePublisher:
    return PagePublisher(load_settings(), "127.0.0.1:1", "test")


def use(monkeypatch: pytest.MonkeyPatch, producer: Producer) -> None:
    monkeypatch.setattr(module, "AIOKafkaProducer", lambda **_: producer)


async def test_a_second_batch_of_a_partition_waits_for_the_first(monkeypatch: pytest.MonkeyPatch, publisher: PagePublisher) -> None:
    producer = Producer(lambda _: None)
    use(monkeypatch, producer)
    await publisher.publish(page(b"1", b"2", b"3", b"4", b"5"))
    assert producer.sent == [[b"1", b"2"], [b"3", b"4"], [b"5"]]
    assert producer.most_unanswered == 1


async def test_nothing_is_sent_behind_a_batch_that_failed(monkeypatch: pytest.MonkeyPatch, publisher: PagePublisher) -> None:
    producer = Producer(lambda values: KafkaTimeoutError() if b"1" in values else None)
    use(monkeypatch, producer)
    with pytest.raises(TransientError):
        await publisher.publish(page(b"1", b"2", b"3"))
    assert producer.sent == [[b"1", b"2"]]
    assert producer.closed


async def test_the_next_page_gets_a_new_producer(monkeypatch: pytest.MonkeyPatch, publisher: PagePublisher) -> None:
    broken = Producer(lambda _: KafkaTimeoutError())
    use(monkeypatch, broken)
    with pytest.raises(TransientError):
        await publisher.publish(page(b"1"))
    whole = Producer(lambda _: None)
    use(monkeypatch, whole)
    await publisher.publish(page(b"1"))
    assert whole.sent == [[b"1"]]


async def test_a_producer_that_does_not_stop_is_broken_off_with_its_sender(
    monkeypatch: pytest.MonkeyPatch, publisher: PagePublisher
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.05)
    producer: Any = Producer(lambda _: None)
    producer.hangs = True
    use(monkeypatch, producer)
    await publisher.publish(page(b"1"))
    sender = producer._sender.sender_task = asyncio.create_task(asyncio.sleep(60))
    await publisher.close()
    assert producer.closed
    assert sender.cancelled()


async def test_a_producer_that_gets_no_id_is_given_up(monkeypatch: pytest.MonkeyPatch, publisher: PagePublisher) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.05)
    producer: Any = Producer(lambda _: None)
    producer.start = lambda: asyncio.sleep(60)
    use(monkeypatch, producer)
    with pytest.raises(TransientError):
        await publisher.publish(page(b"1"))
    assert producer.closed
