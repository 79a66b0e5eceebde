"""SIGTERM while there is work: the process says that it is not ready, finishes, and ends with 0 in time; with servers away too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from contracts.topics import commands_topic
from infra.local_stack.stack import postgres, server
from tests.chaos.arena import PARTITIONS, Arena, collect, settled
from tests.chaos.checker import check
from tests.chaos.faults import ALL
from tests.chaos.fleet import Fleet
from tests.chaos.publisher import Publisher
from tests.chaos.workload import Workload, pages

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(240)]

GRACE_SECONDS = 30.0


async def test_sigterm_under_load_ends_each_worker_with_zero_and_costs_nothing(
    arena: Arena, fleet: Fleet, say: Callable[[str], None]
) -> None:
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    workload = Workload(31)
    for name in ALL:
        fleet.start(name)
    await fleet.wait_ready(*ALL)

    async def load() -> None:
        for page in pages(workload.take(2_000), 50):
            await publisher.publish(page)
            await asyncio.sleep(0.1)

    loading = asyncio.create_task(load())
    told = []
    for name in ALL:
        await asyncio.sleep(0.3)
        started = time.monotonic()
        while_draining: list[int] = []

        async def watch(name: str = name, answers: list[int] = while_draining) -> None:
            while True:
                answers.append((await fleet.get(name, "/health/ready", timeout=2))[0])
                await asyncio.sleep(0.01)

        process_end = asyncio.create_task(fleet.terminate(name, GRACE_SECONDS))
        await asyncio.sleep(0)
        watching = asyncio.create_task(watch())
        assert await process_end == 0, fleet.tail(name)
        told.append(f"{name} {time.monotonic() - started:.1f} s")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert 503 in while_draining or 200 not in while_draining[1:], f"{name} said that it was ready while it drained: {while_draining}"
    await loading
    assert await settled(arena, publisher.journal, 90) is not None, fleet.tails()
    await publisher.close()
    report = check(await collect(arena, publisher.journal))
    assert report.clean, report.text() + "\n" + fleet.tails()
    assert fleet.died == []
    say(
        "SIGTERM under load: " + ", ".join(told) + f"; {fleet.absorbed} commands absorbed, {report.figures['copies sent']} copies were sent"
    )


@pytest.mark.parametrize("gone", ["postgres", "kafka"])
async def test_sigterm_while_a_server_is_away_ends_in_time_and_costs_nothing(
    arena: Arena, fleet: Fleet, gone: str, say: Callable[[str], None]
) -> None:
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    for name in ALL:
        fleet.start(name)
    await fleet.wait_ready(*ALL)
    await publisher.publish(Workload(32).take(1_000))
    if gone == "postgres":
        await asyncio.to_thread(postgres(arena.root).stop, "immediate")
    else:
        await asyncio.to_thread(server(arena.root, "kafka").kill)
    await asyncio.sleep(3)
    started = time.monotonic()
    codes = await asyncio.gather(*(fleet.terminate(name, GRACE_SECONDS + 5) for name in ALL))
    say(f"SIGTERM with {gone} away: {time.monotonic() - started:.1f} s, exit codes {codes}")
    await asyncio.to_thread(server(arena.root, gone).start)
    assert await settled(arena, publisher.journal, 60) is not None, fleet.tails()
    await publisher.close()
    report = check(await collect(arena, publisher.journal))
    assert report.clean, report.text() + "\n" + fleet.tails()
    assert set(codes) == {0}, fleet.tails()
