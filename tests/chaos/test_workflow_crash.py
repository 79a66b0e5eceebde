"""The fleet's chaos run: requests through the whole workflow while workers and hosts are killed at random moments; afterwards every
request has ended or waits for a person, and nothing was paid twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest

from contracts.topics import commands_topic
from tests.chaos.agents import SERVER_VARIABLE
from tests.chaos.arena import PARTITIONS, Arena
from tests.chaos.conftest import Form
from tests.chaos.counting_server import CountingServer
from tests.chaos.fleet import Fleet
from tests.chaos.publisher import Publisher
from tests.chaos.workflow_checker import check_fleet
from tests.chaos.workflow_run import ALL, HOSTS, at_rest, collect_fleet, decide, register_agents, requests, start
from tests.chaos.workload import pages

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

PAGE = 10
KILL_SECONDS = (0.6, 1.6)
SETTLE_SECONDS = 240.0
RUNS_UNDER_WAY = "SELECT EXISTS (SELECT FROM mesh.task_runs WHERE finished_at IS NULL AND lease_until > clock_timestamp())"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CountingServer]:
    """The other side; asked for before the fleet, whose processes are told where it is."""
    async with CountingServer() as made:
        monkeypatch.setenv(SERVER_VARIABLE, made.url)
        monkeypatch.setenv("AGENTMESH_PAYMENTS_URL", made.url)
        # Short, so that a run of a killed host moves soon.
        monkeypatch.setenv("AGENTMESH_AGENT_HOST_LEASE_SECONDS", "4")
        monkeypatch.setenv("AGENTMESH_AGENT_HOST_HEARTBEAT_SECONDS", "1")
        yield made


async def kill_some(arena: Arena, fleet: Fleet, seed: int, over: asyncio.Event) -> None:
    """A member every second or so; a host while runs are under way."""
    pick = random.Random(seed)
    while not over.is_set():
        try:
            await asyncio.wait_for(over.wait(), pick.uniform(*KILL_SECONDS))
        except TimeoutError:
            name = pick.choice(HOSTS) if pick.random() < 0.4 else pick.choice(ALL)
            if name in HOSTS:
                await arena.wait_for_work(RUNS_UNDER_WAY, 1.0)
            fleet.kill(name)


@pytest.mark.timeout(3600)
async def test_every_request_ends_and_nothing_is_done_twice_whatever_dies(
    server: CountingServer, arena: Arena, fleet: Fleet, form: Form, say: Callable[[str], None]
) -> None:
    publisher = Publisher(arena.bootstrap, arena.topic(commands_topic("requests")), PARTITIONS)
    start(fleet)
    await fleet.wait_ready(*ALL, seconds=90)
    await register_agents(arena)
    given = requests(form.requests, form.seed)
    over = asyncio.Event()
    started = time.monotonic()
    killing = asyncio.create_task(kill_some(arena, fleet, form.seed, over))
    settled = asyncio.Event()
    deciding = asyncio.create_task(decide(arena, settled))
    batches = list(pages(given, PAGE))
    for number, page in enumerate(batches):
        await asyncio.sleep(max(0.0, started + form.request_seconds * number / len(batches) - time.monotonic()))
        await publisher.publish(page)
    await asyncio.sleep(max(0.0, started + form.request_seconds - time.monotonic()))
    over.set()
    await killing
    published = time.monotonic() - started
    accepted = [command.aggregate_id for command in publisher.journal]
    rest = await at_rest(arena, accepted, SETTLE_SECONDS + published)
    settled.set()
    decisions = await deciding
    await publisher.close()
    report = check_fleet(await collect_fleet(arena, accepted, server, fleet))
    kills = ", ".join(f"{name} {count}" for name, count in sorted(fleet.kills.items()))
    say(
        f"fleet chaos, seed {form.seed}: {len(accepted)} requests in {time.monotonic() - started:.0f} s (published and killed for "
        f"{published:.0f} s, then at rest after {'never' if rest is None else f'{rest:.1f} s'}); {fleet.kills.total()} kills ({kills}), "
        f"{fleet.starts} processes started, {decisions} decisions of a person"
    )
    say(report.text())
    assert len(accepted) == form.requests
    assert fleet.kills["host"] > 0
    assert report.figures["refunds paid"] > 0
    assert report.clean, report.text() + "\n" + fleet.tails()
    assert rest is not None, fleet.tails()
    assert fleet.died == [], fleet.tails(80)
