"""Waiting for outcomes: one question for all who wait, answers at once, deadlines kept while the server is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import pytest

from infra.errors import TransientError
from infra.outcomes.waiting import SharedWatch, WatchedVersions, poll


class Versions:
    """What a read model shows; counts the questions."""

    def __init__(self) -> None:
        self.shown: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.error: Exception | None = None

    async def __call__(self, ids: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(list(ids))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return {each: self.shown[each] for each in ids if each in self.shown}


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


async def test_all_who_wait_are_asked_for_in_one_question() -> None:
    versions = Versions()
    watch = WatchedVersions(versions)
    waiting = [asyncio.create_task(watch.wait(f"req-{number}", 1, soon())) for number in range(50)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    versions.shown = {f"req-{number}": 1 for number in range(50)}
    assert await asyncio.gather(*waiting) == [True] * 50
    assert len(versions.asked[-1]) == 50
    assert len(versions.asked) < 20


async def test_a_version_below_the_wanted_one_is_waited_beyond() -> None:
    versions = Versions()
    versions.shown["req-1"] = 1
    watch = WatchedVersions(versions)
    first, second = (asyncio.create_task(watch.wait("req-1", version, soon())) for version in (1, 2))
    assert await first
    assert not second.done()
    versions.shown["req-1"] = 3
    assert await second


async def test_at_the_deadline_it_is_over_and_nothing_is_asked_any_more() -> None:
    versions = Versions()
    watch = WatchedVersions(versions)
    assert not await watch.wait("req-1", 1, soon(0.05))
    await asyncio.sleep(0.06)
    asked = len(versions.asked)
    await asyncio.sleep(0.06)
    assert len(versions.asked) == asked > 0


async def test_a_server_that_is_away_is_asked_again_until_the_deadline() -> None:
    versions = Versions()
    versions.error = TransientError("away")
    watch = WatchedVersions(versions)
    waiting = asyncio.create_task(watch.wait("req-1", 1, soon()))
    assert not await watch.wait("req-2", 1, soon(0.05))
    versions.error, versions.shown = None, {"req-1": 1}
    assert await waiting


async def test_a_bug_is_told_to_who_waits_and_the_next_one_is_served() -> None:
    versions = Versions()
    versions.error = ZeroDivisionError("bug")
    watch = WatchedVersions(versions)
    with pytest.raises(ZeroDivisionError):
        await watch.wait("req-1", 1, soon())
    versions.error, versions.shown = None, {"req-1": 1}
    assert await watch.wait("req-1", 1, soon())


async def test_two_who_wait_for_the_same_are_both_answered_and_one_may_go_away() -> None:
    versions = Versions()
    watch: SharedWatch[str, int] = SharedWatch(versions)
    first, second = (asyncio.create_task(watch.wait("req-1", soon())) for _ in range(2))
    await asyncio.sleep(0.02)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    versions.shown["req-1"] = 7
    assert await second == 7
    await watch.close()


async def test_a_poll_ends_at_its_deadline() -> None:
    async def nothing() -> None:
        return None

    assert await poll(nothing, soon(0.05)) is None
