"""One tail for all readers: nothing is left out or repeated, wherever a reader begins and whatever comes meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import pytest

from contracts.envelope import RecordedEvent
from infra.event_streams.base import Ended, Followed, StreamEnded, Wants
from infra.event_streams.tail import Reader
from tests.unit.infra.event_streams.logs import CREATED, TENANT, UPDATED, Logs

BOTH = ("requests", "tasks")


def everything(_: RecordedEvent) -> bool:
    return True


def followed(contexts: tuple[str, ...] = BOTH, wants: Wants = everything, tenant: str = TENANT) -> Followed:
    return Followed(tenant, contexts, wants)


async def read(reader: Reader, count: int, seconds: float = 5.0) -> list[tuple[str, int]]:
    """(context, position) of the next so many events, as they come."""
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            batch = await reader.next(0.02)
            found += [(each.recorded.context, each.recorded.position) for each in batch.events]
    return found


def of(found: list[tuple[str, int]], context: str) -> list[int]:
    return [position for name, position in found if name == context]


def begin(**at: int) -> Mapping[str, int]:
    return {"requests": 0, "tasks": 0, **at}


async def test_the_past_and_what_comes_are_read_once_each_in_order() -> None:
    logs = Logs()
    logs["requests"].append(12)
    logs["tasks"].append(7)
    reader = await logs.tail.subscribe(followed(), begin(requests=2))
    found = await read(reader, 17)
    logs["requests"].append(30)
    logs["tasks"].append(1)
    found += await read(reader, 31)
    assert of(found, "requests") == list(range(3, 43))
    assert of(found, "tasks") == list(range(1, 9))
    assert (await reader.next(0.01)).events == ()
    assert reader.place == {"requests": 42, "tasks": 8}
    await logs.tail.close()


@pytest.mark.parametrize("seed", range(20))
async def test_readers_who_come_and_go_miss_and_repeat_nothing_while_events_flow(seed: int) -> None:
    chance = random.Random(seed)
    logs = Logs(page=chance.choice((1, 3, 50)))

    async def write() -> None:
        for _ in range(300):
            log = logs[chance.choice(BOTH)]
            log.pause = chance.choice((0.0, 0.0, 0.002))
            log.reject() if chance.random() < 0.1 else log.append(chance.randint(1, 3))
            await asyncio.sleep(0 if chance.random() < 0.7 else 0.002)

    async def follow(seed: int) -> list[tuple[str, int]]:
        own, found, place = random.Random(seed), [], begin()
        while not (writing.done() and all(place[each] >= logs[each].head for each in BOTH)):
            reader = await logs.tail.subscribe(followed(), place)
            for _ in range(own.randint(1, 40)):
                batch = await reader.next(0.002)
                kept = batch.events[: own.randint(0, len(batch.events))] if own.random() < 0.3 else batch.events
                place = {**place, **{each.recorded.context: each.recorded.position for each in kept}}
                found += [(each.recorded.context, each.recorded.position) for each in kept]
                if len(kept) < len(batch.events):
                    break  # cut off in the middle of a batch: it goes on after the last event that it read
                place = dict(batch.then)
            reader.leave()
        return found

    writing = asyncio.create_task(write())
    async with asyncio.timeout(30):
        for found in await asyncio.gather(*(follow(seed * 100 + each) for each in range(4))):
            for context in BOTH:
                assert of(found, context) == [each.position for each in logs[context].events]
        await writing


async def test_readers_get_the_events_of_their_tenant_and_filter_only() -> None:
    logs = Logs()
    mine = await logs.tail.subscribe(followed(wants=lambda each: each.metadata.type_name == CREATED), begin())
    theirs = await logs.tail.subscribe(followed(tenant="other"), begin())
    logs["requests"].append(3)
    logs["requests"].append(1, type_name=CREATED)
    logs["requests"].append(2, tenant="other", type_name=CREATED)
    logs["agents"].append(1, tenant="other")
    assert await read(mine, 1) == [("requests", 4)]
    assert await read(theirs, 2) == [("requests", 5), ("requests", 6)]
    assert (await mine.next(0.01)).events == ()
    assert mine.place["requests"] == 6  # what is not for this reader is behind it too
    logs["requests"].append(1, tenant="other")
    past = await logs.tail.subscribe(followed(("requests",)), {"requests": 0})
    assert of(await read(past, 4), "requests") == [1, 2, 3, 4]
    await logs.tail.close()


async def test_all_readers_share_one_reading_of_what_is_new() -> None:
    logs = Logs(page=100)
    readers = [await logs.tail.subscribe(followed(), begin()) for _ in range(50)]
    logs["requests"].append(10)
    shared = [await reader.next(1) for reader in readers]
    assert {id(batch.events[0]) for batch in shared} == {id(shared[0].events[0])}
    assert logs["requests"].reads == [0]
    assert logs["agents"].reads == []
    await logs.tail.close()


async def test_without_readers_nothing_is_asked() -> None:
    logs = Logs()
    reader = await logs.tail.subscribe(followed(), begin())
    reader.leave()
    reader.leave()
    await asyncio.sleep(0.01)
    looks = logs.looks
    await asyncio.sleep(0.02)
    assert logs.looks == looks
    logs["requests"].append(4)
    again = await logs.tail.subscribe(followed(), begin())
    assert of(await read(again, 4), "requests") == [1, 2, 3, 4]
    await logs.tail.close()


async def test_a_reader_for_whom_too_much_waits_is_dropped_and_the_others_go_on() -> None:
    logs = Logs(queue_events=10)
    slow = await logs.tail.subscribe(followed(), begin())
    quick = await logs.tail.subscribe(followed(), begin())
    await slow.next(0.001)
    found: list[tuple[str, int]] = []
    for _ in range(4):
        logs["requests"].append(5)
        found += await read(quick, 5)
    with pytest.raises(StreamEnded, match=Ended.TOO_SLOW):
        await slow.next(1)
    assert of(found, "requests") == list(range(1, 21))
    slow.leave()
    back = await logs.tail.subscribe(followed(), slow.place)
    assert of(await read(back, 20), "requests") == list(range(1, 21))
    await logs.tail.close()


async def test_a_store_that_is_away_is_waited_for_and_nothing_is_missed() -> None:
    logs = Logs()
    reader = await logs.tail.subscribe(followed(), begin())
    assert (await reader.next(0.01)).events == ()
    logs["requests"].away = True
    logs["requests"].append(3)
    await asyncio.sleep(0.02)
    logs["requests"].away = False
    assert of(await read(reader, 3), "requests") == [1, 2, 3]
    await logs.tail.close()


async def test_a_reader_of_the_past_is_told_that_the_store_is_away() -> None:
    logs = Logs()
    logs["requests"].append(3)
    reader = await logs.tail.subscribe(followed(), begin())
    logs["requests"].away = True
    with pytest.raises(StreamEnded, match=Ended.UNAVAILABLE):
        await reader.next(1)
    await logs.tail.close()


async def test_a_drain_ends_every_stream_and_lets_none_begin() -> None:
    logs = Logs()
    reader = await logs.tail.subscribe(followed(), begin())
    waiting = asyncio.create_task(reader.next(60))
    await asyncio.sleep(0.01)
    await logs.tail.close()
    with pytest.raises(StreamEnded, match=Ended.DRAINED):
        await waiting
    with pytest.raises(StreamEnded, match=Ended.DRAINED):
        await logs.tail.subscribe(followed(), begin())


async def test_a_defect_of_the_tail_ends_the_streams_and_the_next_reader_starts_it_anew(caplog: pytest.LogCaptureFixture) -> None:
    logs = Logs()
    reader = await logs.tail.subscribe(followed(), begin())
    broken = logs["requests"].events
    logs["requests"].events = None  # type: ignore[assignment]
    logs["requests"].head += 1
    with pytest.raises(StreamEnded, match=Ended.FAILED):
        await reader.next(1)
    assert "the tail of the logs failed" in caplog.text
    reader.leave()
    logs["requests"].events = broken
    logs["requests"].append(1)
    again = await logs.tail.subscribe(followed(), begin())
    assert of(await read(again, 1), "requests") == [2]
    await logs.tail.close()


async def test_whose_a_request_is_comes_from_its_first_event_once() -> None:
    logs = Logs()
    data = b'{"customer_id":"cust-1"}'
    logs["requests"].append(1, type_name=CREATED, data=data)
    logs["requests"].append(2, type_name=UPDATED)
    logs["requests"].append(1, type_name=UPDATED, aggregate="req-of-nobody")
    first, second, _, unknown = logs["requests"].events
    assert await logs.tail.customer_of(second) == "cust-1"
    assert await logs.tail.customer_of(second) == "cust-1"
    assert await logs.tail.customer_of(first) == "cust-1"
    assert logs["requests"].reads == [-1]
    assert await logs.tail.customer_of(unknown) is None
    logs["tasks"].append(1)
    assert await logs.tail.customer_of(logs["tasks"].events[0]) is None
