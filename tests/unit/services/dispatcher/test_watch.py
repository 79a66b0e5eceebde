"""The watch listens beside its own writing, and begins anew when the broker is away or nothing comes any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from contracts.fleet import FleetProbe
from infra.errors import TransientError
from infra.fleet.base import FleetRecord
from services.dispatcher import watch
from services.dispatcher.liveness import KindState
from services.dispatcher.watch import FleetWatch
from tests.mesh import wait_for
from tests.unit.services.dispatcher.listening import ME, PARTITIONS, heartbeat, liveness


class Topic:
    """A topic in memory: probes come back at once; may be away, may be stuck, may take writes for ever."""

    partitions = PARTITIONS

    def __init__(self) -> None:
        self.records: asyncio.Queue[FleetRecord] = asyncio.Queue()
        self.starts = self.closes = self.probes = 0
        self.away = self.stuck = self.swallows = False
        self.deleted: list[str] = []

    async def start(self) -> None:
        self.starts += 1
        if self.away:
            raise TransientError("away")

    async def read(self, seconds: float) -> list[FleetRecord]:
        try:
            async with asyncio.timeout(seconds / 10):
                return [await self.records.get()]
        except TimeoutError:
            return []

    async def probe(self, probe: FleetProbe) -> None:
        self.probes += 1
        if self.swallows:
            await asyncio.Event().wait()
        if self.away:
            raise TransientError("away")
        if not self.stuck:
            for partition in range(PARTITIONS):
                self.records.put_nowait(FleetRecord(partition, probe))

    async def forget(self, host_ids: Iterable[str]) -> None:
        self.deleted += host_ids

    async def close(self) -> None:
        self.closes += 1


async def until(check: Callable[[], bool]) -> None:
    async def look() -> bool:
        return check()

    await wait_for(look, 10, "what was waited for")


def now() -> float:
    return watch.time.monotonic()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PAUSE_SECONDS", 0.01)


async def test_probes_that_come_back_make_it_hear_and_hosts_answer() -> None:
    topic, judge = Topic(), liveness()
    running = asyncio.create_task(FleetWatch(topic, judge, ME, 0.01).run())
    await until(lambda: judge.hears(now()))
    topic.records.put_nowait(FleetRecord(0, heartbeat("host-1")))
    await until(lambda: judge.state("triage", now()) is KindState.ANSWERS)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert topic.closes == 1


async def test_a_write_that_hangs_does_not_keep_it_from_listening() -> None:
    topic, judge = Topic(), liveness()
    topic.swallows = True
    running = asyncio.create_task(FleetWatch(topic, judge, ME, 0.01).run())
    await until(lambda: topic.probes == 1)
    topic.records.put_nowait(FleetRecord(0, heartbeat("host-1")))
    await until(lambda: judge.live_hosts(now()) == 1)
    assert topic.probes == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_waits_for_a_broker_that_is_away() -> None:
    topic, judge = Topic(), liveness()
    topic.away = True
    running = asyncio.create_task(FleetWatch(topic, judge, ME, 0.01).run())
    await until(lambda: topic.starts > 2)
    topic.away = False
    await until(lambda: judge.hears(now()))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_where_nothing_is_heard_for_long_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "DEAF_SECONDS", 0.1)
    topic, judge = Topic(), liveness()
    topic.stuck = True
    running = asyncio.create_task(FleetWatch(topic, judge, ME, 0.01).run())
    await until(lambda: topic.starts > 1)
    assert topic.closes >= 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_hosts_that_were_silent_for_long_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    topic, judge = Topic(), liveness()
    monkeypatch.setattr(judge, "_forget", 0.05)
    running = asyncio.create_task(FleetWatch(topic, judge, ME, 0.02).run())
    topic.records.put_nowait(FleetRecord(0, heartbeat("host-1")))
    await until(lambda: topic.deleted == ["host-1"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
