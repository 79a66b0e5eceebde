"""Commands of many callers become pages: what is acknowledged returns, what fails or takes too long is told, the queue is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from contracts.envelope import Metadata
from infra.commands.base import OutgoingCommand
from infra.commands.kafka import MOST_AT_ONCE, KafkaCommandPublisher
from infra.errors import BulkheadFull, CallTimedOut, TransientError
from infra.kafka.producer import OutgoingRecord


class Pages:
    """A page publisher that waits until it is let go."""

    def __init__(self) -> None:
        self.pages: list[list[OutgoingRecord]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.closed = False

    async def publish(self, records: list[OutgoingRecord]) -> None:
        self.pages.append(records)
        await self.go.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.closed = True


def command(number: int = 1) -> OutgoingCommand:
    metadata = Metadata(
        message_id=f"c-{number}",
        type_name="agentmesh.requests.CreateRequest.v1",
        source="/agentmesh/gateway",
        subject=f"req-{number}",
        time="2026-05-04T12:00:00Z",
        tenant_id="acme",
        auth_type="user",
        auth_id="ann",
        correlation_id="corr-1",
        causation_id=f"c-{number}",
        traceparent=None,
    )
    return OutgoingCommand("requests", f"req-{number}", b'{"n":%d}' % number, metadata)


def publisher(pages: Pages, *, most_waiting: int = 5_000, seconds: float = 5.0) -> KafkaCommandPublisher:
    return KafkaCommandPublisher(pages, topic_prefix="t-1.", most_waiting=most_waiting, seconds=seconds)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")


async def test_a_command_becomes_a_record_with_its_key_and_headers() -> None:
    pages = Pages()
    pages.go.set()
    await publisher(pages).publish(command())
    ((record,),) = pages.pages
    assert (record.topic, record.key, record.value) == ("t-1.agentmesh.requests.commands.v1", b"req-1", b'{"n":1}')
    headers = dict(record.headers)
    assert (headers["ce_id"], headers["ce_tenantid"], headers["ce_authid"]) == (b"c-1", b"acme", b"ann")


async def test_what_comes_while_a_page_is_under_way_goes_together_and_in_order() -> None:
    pages = Pages()
    sender = publisher(pages)
    waiting = [asyncio.create_task(sender.publish(command(number))) for number in range(MOST_AT_ONCE + 200)]
    await until(lambda: len(pages.pages) == 1 and sender.waiting == len(waiting))
    assert not any(task.done() for task in waiting)
    pages.go.set()
    await asyncio.gather(*waiting)
    assert all(len(page) <= MOST_AT_ONCE for page in pages.pages)
    assert [record.key.decode() for page in pages.pages for record in page] == [f"req-{number}" for number in range(len(waiting))]
    assert sender.waiting == 0


async def test_a_page_that_fails_is_told_to_its_callers_and_to_no_others() -> None:
    pages = Pages()
    pages.go.set()
    sender = publisher(pages)
    pages.error = TransientError("away")
    with pytest.raises(TransientError, match="away"):
        await sender.publish(command())
    pages.error = None
    await sender.publish(command(2))


async def test_a_bug_is_told_too_and_nobody_waits_for_ever() -> None:
    pages = Pages()
    pages.go.set()
    pages.error = ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        await publisher(pages).publish(command())


async def test_more_than_may_wait_are_refused_at_once() -> None:
    pages = Pages()
    sender = publisher(pages, most_waiting=2)
    waiting = [asyncio.create_task(sender.publish(command(number))) for number in range(2)]
    await until(lambda: sender.waiting == 2)
    with pytest.raises(BulkheadFull):
        await sender.publish(command(3))
    pages.go.set()
    await asyncio.gather(*waiting)
    await sender.publish(command(4))
    assert b"req-3" not in [record.key for page in pages.pages for record in page]


async def test_a_broker_that_does_not_answer_is_not_waited_for_and_what_nobody_waits_for_is_not_sent() -> None:
    pages = Pages()
    sender = publisher(pages, seconds=0.05)
    first = asyncio.create_task(sender.publish(command(1)))
    await until(lambda: len(pages.pages) == 1)
    with pytest.raises(CallTimedOut):
        await sender.publish(command(2))
    with pytest.raises(CallTimedOut):
        await first
    pages.go.set()
    await sender.publish(command(3))
    assert [record.key for page in pages.pages for record in page] == [b"req-1", b"req-3"]


async def test_closing_publishes_what_waits_first() -> None:
    pages = Pages()
    sender = publisher(pages)
    waiting = [asyncio.create_task(sender.publish(command(number))) for number in range(3)]
    await until(lambda: sender.waiting == 3)
    pages.go.set()
    await sender.close()
    await asyncio.gather(*waiting)
    assert pages.closed


async def test_closing_does_not_wait_for_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.commands.kafka.STOP_SECONDS", 0.05)
    pages = Pages()
    sender = publisher(pages)
    waiting = [asyncio.create_task(sender.publish(command(number))) for number in range(MOST_AT_ONCE + 1)]
    await until(lambda: sender.waiting == len(waiting) and len(pages.pages) == 1)
    await sender.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, TransientError) for error in ended)
    assert pages.closed
