"""A server that is away for a while: readiness goes red, liveness stays green, nobody is restarted, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from contracts.topics import commands_topic
from infra.local_stack.stack import postgres, server
from tests.chaos.arena import PARTITIONS, Arena, collect, eventually, settled
from tests.chaos.checker import check
from tests.chaos.conftest import Form
from tests.chaos.faults import ALL
from tests.chaos.fleet import Fleet
from tests.chaos.publisher import Publisher
from tests.chaos.workload import Workload, pages

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]

COMMANDS = 400
SETTLE_SECONDS = 60.0


async def not_ready(fleet: Fleet) -> bool:
    """Whether every worker says that it cannot work."""
    answers = await asyncio.gather(*(fleet.get(name, "/health/ready") for name in ALL))  # each may take as long as its checks
    return all(status == 503 for status, _ in answers)


async def stays_live(fleet: Fleet, until: float) -> None:
    """Liveness is asked all the time, as Kubernetes does."""
    while time.monotonic() < until:
        for name in ALL:
            status, body = await fleet.get(name, "/health/live", timeout=5)
            assert status == 200, f"{name}: {status} {body}\n{fleet.tail(name)}"
        await asyncio.sleep(0.5)


async def away(
    arena: Arena,
    fleet: Fleet,
    seconds: float,
    go: Callable[[], Awaitable[None]],
    come_back: Callable[[], Awaitable[None]],
) -> float:
    """Load before, while and after a server is away; answers the seconds from its return to the last row."""
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    workload = Workload(21)
    for name in ALL:
        fleet.start(name)
    await fleet.wait_ready(*ALL)
    pids = {name: fleet.pid(name) for name in ALL}

    async def load() -> None:
        for page in pages(workload.take(COMMANDS), 25):
            await publisher.publish(page)
            await asyncio.sleep(0.1)

    loading = asyncio.create_task(load())
    await asyncio.sleep(0.5)
    await go()
    until = time.monotonic() + seconds
    await eventually(lambda: not_ready(fleet), 30, "readiness turning red")
    await stays_live(fleet, until)
    await come_back()
    returned = time.monotonic()
    await stays_live(fleet, returned + 1)
    await loading
    drained = await settled(arena, publisher.journal, SETTLE_SECONDS)
    took = time.monotonic() - returned
    await publisher.publish(workload.take(50))
    await publisher.close()
    drained = drained and await settled(arena, publisher.journal, SETTLE_SECONDS)
    report = check(await collect(arena, publisher.journal))
    assert report.clean, report.text() + "\n" + fleet.tails()
    assert drained is not None, fleet.tails()
    await fleet.wait_ready(*ALL)
    assert {name: fleet.pid(name) for name in ALL} == pids, "a worker was restarted\n" + fleet.tails()
    assert fleet.died == []
    return took


async def test_the_broker_away_loses_nothing_and_needs_no_restart(
    arena: Arena, fleet: Fleet, form: Form, say: Callable[[str], None]
) -> None:
    broker = server(arena.root, "kafka")
    took = await away(arena, fleet, form.away_seconds, lambda: asyncio.to_thread(broker.kill), lambda: asyncio.to_thread(broker.start))
    say(f"broker away for {form.away_seconds:g} s: no restart, everything through {took:.1f} s after its return")


async def test_the_database_away_loses_nothing_and_needs_no_restart(
    arena: Arena, fleet: Fleet, form: Form, say: Callable[[str], None]
) -> None:
    database = postgres(arena.root)
    took = await away(
        arena,
        fleet,
        form.away_seconds,
        lambda: asyncio.to_thread(database.stop, "immediate"),
        lambda: asyncio.to_thread(database.start),
    )
    say(f"database away for {form.away_seconds:g} s: no restart, everything through {took:.1f} s after its return")


async def test_workers_wait_for_servers_that_are_away_at_their_start(arena: Arena, fleet: Fleet) -> None:
    database, broker = postgres(arena.root), server(arena.root, "kafka")
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    await publisher.publish(Workload(22).take(100))
    await publisher.close()
    await asyncio.gather(asyncio.to_thread(database.stop, "immediate"), asyncio.to_thread(broker.kill))
    for name in ALL:
        fleet.start(name)
    await eventually(lambda: not_ready(fleet), 40, "workers that are up and not ready")
    await asyncio.to_thread(database.start)
    await asyncio.to_thread(broker.start)
    await fleet.wait_ready(*ALL)
    assert await settled(arena, publisher.journal, SETTLE_SECONDS) is not None, fleet.tails()
    report = check(await collect(arena, publisher.journal))
    assert report.clean, report.text()
    assert fleet.died == []
