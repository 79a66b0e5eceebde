"""The crash test: commands over Kafka while workers and servers are killed at random moments; afterwards nothing is missing or doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from contracts.topics import commands_topic
from tests.chaos.arena import PARTITIONS, Arena, collect, settled
from tests.chaos.checker import check
from tests.chaos.conftest import Form
from tests.chaos.faults import ALL, Faults
from tests.chaos.fleet import Fleet
from tests.chaos.publisher import Publisher
from tests.chaos.workload import Sent, Workload, pages

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

COMMANDS_PER_ROUND = 500
PAGE = 50
# A round takes at least this long. Its load comes in bursts, and its fault soon after one begins, so that it meets work under way.
ROUND_SECONDS = 2.0
BURSTS = 2
SETTLE_SECONDS = 120.0


async def publish_round(publisher: Publisher, records: list[Sent]) -> None:
    """The records of a round, in bursts."""
    batches = list(pages(records, PAGE))
    started = time.monotonic()
    for number, page in enumerate(batches):
        if number and number % (len(batches) // BURSTS) == 0:
            await asyncio.sleep(max(0.0, started + ROUND_SECONDS * number / len(batches) - time.monotonic()))
        await publisher.publish(page)
    await asyncio.sleep(max(0.0, started + ROUND_SECONDS - time.monotonic()))


@pytest.mark.timeout(1800)
async def test_nothing_is_lost_doubled_or_reordered_whatever_dies(
    arena: Arena, fleet: Fleet, form: Form, say: Callable[[str], None]
) -> None:
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    workload = Workload(form.seed)
    faults = Faults(arena, fleet, form.seed)
    for name in ALL:
        fleet.start(name)
    await fleet.wait_ready(*ALL)
    started = time.monotonic()
    for number, fault in enumerate(faults.schedule(form.rounds), start=1):
        load = asyncio.create_task(publish_round(publisher, workload.take(COMMANDS_PER_ROUND)))
        await faults.moment()
        say(f"  {time.monotonic() - started:5.1f} s  round {number:2}: {fault.__name__.replace('_', ' ')}")
        await fault()
        await load
    await faults.over()
    published = time.monotonic() - started
    drained = await settled(arena, publisher.journal, SETTLE_SECONDS)
    await publisher.close()
    report = check(await collect(arena, publisher.journal))
    kills = ", ".join(f"{name} {count}" for name, count in sorted(fleet.kills.items()))
    say(
        f"crash test, seed {form.seed}: {len(publisher.journal)} commands in {time.monotonic() - started:.0f} s "
        f"(published in {published:.0f} s, then settled after {'never' if drained is None else f'{drained:.1f} s'}); "
        f"{fleet.kills.total()} faults ({kills}), {fleet.starts} processes started, "
        f"{publisher.resent} pages sent again, at least {fleet.absorbed} redeliveries absorbed"
    )
    say(report.text())
    assert len(publisher.journal) == form.rounds * COMMANDS_PER_ROUND
    assert fleet.kills.total() >= form.rounds * 0.8
    assert report.clean, report.text() + "\n" + fleet.tails()
    assert drained is not None, fleet.tails()
    assert fleet.died == [], fleet.tails(80)
    assert set(faults.exit_codes) <= {0}, faults.exit_codes
