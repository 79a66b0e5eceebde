"""Marking many records: bounded, in order, at a rate, stoppable; against parked records in memory."""

import asyncio
import time
from collections.abc import Sequence

from infra.dead_letters.base import ParkedFilter, ParkedItem
from infra.dead_letters.redrive import Marked, bounded, requeue, survey


class ParkedInMemory:
    """Parked records of which every third is by another error."""

    def __init__(self, count: int) -> None:
        self.items = {position: self._item(position) for position in range(1, count + 1)}
        self.chunks: list[list[int]] = []

    @staticmethod
    def _item(position: int) -> ParkedItem:
        error = "KeyError" if position % 3 == 0 else "ZeroDivisionError"
        return ParkedItem("requests", position, f"req-{position % 5}", "T", "defect", error, "", 3, "parked", "")

    async def find(self, wanted: ParkedFilter, after: int, limit: int) -> list[ParkedItem]:
        found = [
            item
            for position, item in sorted(self.items.items())
            if position > after
            and (wanted.through is None or position <= wanted.through)
            and (wanted.error_type in (None, item.error_type))
            and (wanted.statuses is None or item.status in wanted.statuses)
        ]
        return found[:limit]

    async def end(self) -> int:
        return max(self.items, default=0)

    async def requeue(self, positions: Sequence[int], who: str, why: str) -> list[int]:
        self.chunks.append(list(positions))
        marked = [position for position in positions if self.items[position].status == "parked"]
        for position in marked:
            self.items[position] = self.items[position]._replace(status="requeued")
        return marked


async def test_a_filter_is_bounded_by_the_present_end() -> None:
    parked = ParkedInMemory(4)
    limits = await bounded(parked, ParkedFilter())
    parked.items[5] = parked._item(5)
    found = await survey(parked, limits)
    assert (found.through, found.records) == (4, 4)
    assert len(found.aggregates) == 4
    assert found.error_types == {"ZeroDivisionError": 3, "KeyError": 1}
    assert parked.chunks == []


async def test_a_given_bound_stands() -> None:
    assert (await bounded(ParkedInMemory(9), ParkedFilter(through=3))).through == 3


async def test_all_are_marked_in_order_and_a_second_time_changes_nothing() -> None:
    parked = ParkedInMemory(1_201)
    limits = await bounded(parked, ParkedFilter())
    told: list[int] = []
    marked = await requeue(parked, limits, who="me", why="", stop=asyncio.Event(), progress=told.append)
    assert marked == Marked(1_201, 1_201, True)
    assert [position for chunk in parked.chunks for position in chunk] == list(range(1, 1_202))
    assert told == [500, 1_000, 1_201]
    assert (await requeue(parked, limits, who="me", why="", stop=asyncio.Event())).records == 0


async def test_a_rate_is_kept_in_small_chunks() -> None:
    parked = ParkedInMemory(20)
    began = time.monotonic()
    await requeue(parked, await bounded(parked, ParkedFilter()), who="me", why="", stop=asyncio.Event(), rate=50)
    assert time.monotonic() - began >= 20 / 50 * 0.9
    assert [len(chunk) for chunk in parked.chunks] == [10, 10]


async def test_it_stops_between_two_chunks_and_says_how_far_it_got() -> None:
    parked = ParkedInMemory(100)
    stop = asyncio.Event()
    marked = await requeue(
        parked, await bounded(parked, ParkedFilter()), who="me", why="", stop=stop, rate=10, progress=lambda _: stop.set()
    )
    assert marked == Marked(2, 2, False)
    assert sum(item.status == "requeued" for item in parked.items.values()) == 2
