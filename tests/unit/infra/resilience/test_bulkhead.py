"""So many calls run, so many wait, the rest is refused; the counts are right whatever becomes of a call."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from infra.errors import BulkheadFull, TransientError
from infra.resilience.bulkhead import Bulkhead, BulkheadPolicy
from tests import virtual_time


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def counts(bulkhead: Bulkhead) -> tuple[int, int]:
    return bulkhead.active, bulkhead.waiting


class Calls:
    """Starts calls that run until they are let go."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.bulkhead = bulkhead
        self.order: list[int] = []
        self.let_go: dict[int, asyncio.Future[None]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, count: int = 1) -> None:
        first = len(self.tasks)
        self.tasks += [asyncio.create_task(self.bulkhead.call(self._run, number)) for number in range(first, first + count)]
        await settled()

    async def _run(self, number: int) -> None:
        self.order.append(number)
        self.let_go[number] = asyncio.get_running_loop().create_future()
        await self.let_go[number]

    async def end(self, number: int, error: Exception | None = None) -> None:
        self.let_go[number].set_exception(error) if error else self.let_go[number].set_result(None)
        await asyncio.gather(self.tasks[number], return_exceptions=True)
        await settled()

    async def cancel(self, number: int) -> None:
        self.tasks[number].cancel()
        await asyncio.gather(self.tasks[number], return_exceptions=True)
        await settled()


def small(concurrent: int = 1, waiting: int = 2) -> Bulkhead:
    return Bulkhead("redis", BulkheadPolicy(concurrent=concurrent, waiting=waiting))


async def test_a_hundred_run_a_thousand_wait_and_the_next_is_refused_at_once() -> None:
    refused: list[int] = []
    bulkhead = Bulkhead("redis", refused=lambda: refused.append(1))
    calls = Calls(bulkhead)
    await calls.start(1_100)
    assert (counts(bulkhead), len(calls.order)) == ((100, 1_000), 100)
    with pytest.raises(BulkheadFull, match="bulkhead redis is full") as error:
        await bulkhead.call(asyncio.sleep, 0)
    assert (error.value.name, len(refused), counts(bulkhead)) == ("redis", 1, (100, 1_000))
    assert isinstance(error.value, TransientError)
    with pytest.raises(BulkheadFull):
        bulkhead.call_sync(int)
    await calls.end(0)
    assert counts(bulkhead) == (100, 999)
    for task in calls.tasks:
        task.cancel()
    await asyncio.gather(*calls.tasks, return_exceptions=True)
    assert counts(bulkhead) == (0, 0)


async def test_who_waits_is_served_in_the_order_of_arrival() -> None:
    calls = Calls(small(waiting=5))
    await calls.start(4)
    for number in range(4):
        await calls.end(number)
    assert calls.order == [0, 1, 2, 3]
    assert counts(calls.bulkhead) == (0, 0)


async def test_a_failed_call_lowers_the_waiting_count_only_once() -> None:
    calls = Calls(small())
    await calls.start(3)
    assert counts(calls.bulkhead) == (1, 2)
    for number, after in enumerate([(1, 1), (1, 0), (0, 0)]):
        await calls.end(number, TransientError("away"))
        assert counts(calls.bulkhead) == after
        assert isinstance(calls.tasks[number].exception(), TransientError)


async def test_a_call_cancelled_while_it_waits_leaves_the_room_once_and_is_not_made() -> None:
    calls = Calls(small())
    await calls.start(3)
    await calls.cancel(1)
    assert counts(calls.bulkhead) == (1, 1)
    await calls.end(0)
    await calls.end(2)
    assert calls.order == [0, 2]
    assert counts(calls.bulkhead) == (0, 0)


async def test_a_slot_that_comes_while_its_call_is_cancelled_goes_to_the_next() -> None:
    calls = Calls(small())
    await calls.start(3)
    calls.let_go[0].set_result(None)
    await calls.tasks[0]  # the slot is handed to call 1, which has not run yet
    assert counts(calls.bulkhead) == (1, 1)
    await calls.cancel(1)
    assert (calls.order, counts(calls.bulkhead)) == ([0, 2], (1, 0))
    await calls.end(2)
    assert counts(calls.bulkhead) == (0, 0)


async def test_a_call_cancelled_before_its_slot_comes_in_the_same_turn_of_the_loop_loses_nothing() -> None:
    calls = Calls(small())
    await calls.start(3)
    calls.tasks[1].cancel()
    calls.let_go[0].set_result(None)
    await settled()
    assert (calls.order, counts(calls.bulkhead)) == ([0, 2], (1, 0))
    await calls.end(2)
    await asyncio.gather(*calls.tasks, return_exceptions=True)
    assert counts(calls.bulkhead) == (0, 0)


async def test_a_running_call_that_is_cancelled_frees_its_slot() -> None:
    calls = Calls(small())
    await calls.start(2)
    await calls.cancel(0)
    assert (calls.order, counts(calls.bulkhead)) == ([0, 1], (1, 0))
    await calls.end(1)


async def test_without_a_waiting_room_a_free_slot_is_still_taken() -> None:
    calls = Calls(small(waiting=0))
    await calls.start(1)
    with pytest.raises(BulkheadFull):
        await calls.bulkhead.call(asyncio.sleep, 0)
    await calls.end(0)
    assert calls.bulkhead.call_sync(int) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_stay_in_their_bounds_under_random_failures_and_cancellations(seed: int) -> None:
    chance = random.Random(seed)
    bulkhead = small(concurrent=3, waiting=10)
    most = {"running": 0, "now": 0}

    async def work() -> None:
        most["now"] += 1
        most["running"] = max(most["running"], most["now"])
        try:
            await asyncio.sleep(chance.random())
            if chance.random() < 0.3:
                raise TransientError("away")
        finally:
            most["now"] -= 1

    async def one() -> None:
        await asyncio.sleep(chance.random() * 10)
        task = asyncio.create_task(bulkhead.call(work))
        if chance.random() < 0.4:
            await asyncio.sleep(chance.random())
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert 0 <= bulkhead.active <= 3
        assert 0 <= bulkhead.waiting <= 10

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(200)))

    virtual_time.run(main())
    assert counts(bulkhead) == (0, 0)
    assert most["running"] == 3


def test_plain_calls_wait_in_their_threads_and_share_the_slots() -> None:
    bulkhead = small(concurrent=2, waiting=10)
    lock, most = threading.Lock(), [0, 0]

    def work() -> None:
        with lock:
            most[0] += 1
            most[1] = max(most)
        time.sleep(0.002)
        with lock:
            most[0] -= 1
        raise TransientError("away")

    def call() -> None:
        with pytest.raises(TransientError):
            bulkhead.call_sync(work)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [0, 2]
    assert counts(bulkhead) == (0, 0)


async def test_a_task_that_waits_is_served_by_a_thread_that_leaves_and_the_other_way_round() -> None:
    bulkhead = small()
    entered, let_go = threading.Event(), threading.Event()

    def hold(then: str) -> str:
        entered.set()
        let_go.wait(10)
        return then

    first = asyncio.create_task(asyncio.to_thread(bulkhead.call_sync, hold, "thread"))
    assert await asyncio.to_thread(entered.wait, 10)
    waiting = asyncio.create_task(bulkhead.call(asyncio.sleep, 0, "task"))
    await settled()
    assert counts(bulkhead) == (1, 1)
    let_go.set()
    async with asyncio.timeout(10):
        assert (await first, await waiting) == ("thread", "task")
        inside = asyncio.Event()
        holder = asyncio.create_task(bulkhead.call(inside.wait))
        await settled()
        thread = asyncio.create_task(asyncio.to_thread(bulkhead.call_sync, int))
        while bulkhead.waiting == 0:  # noqa: ASYNC110 - nothing tells when a thread begins to wait
            await asyncio.sleep(0.001)
        inside.set()
        assert (await holder, await thread) == (True, 0)
    assert counts(bulkhead) == (0, 0)
