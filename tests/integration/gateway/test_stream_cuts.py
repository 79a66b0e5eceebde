"""Readers of events and their gateway are cut off at random while events flow: what was received is what is stored, per context.

A bounded form by default; AGENTMESH_CHAOS=long is 100 cuts while 10,000 events flow. AGENTMESH_CHAOS_SEED chooses other cuts.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass

import pytest

from infra.local_stack.ports import free_port
from tests.event_stream import differences
from tests.integration.gateway.conftest import GatewayProcess, Spawn
from tests.integration.gateway.following import CREATED, Follower, Writers, stored
from tests.mesh import Mesh, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(900)]
LONG = os.environ.get("AGENTMESH_CHAOS") == "long"
SEED = int(os.environ.get("AGENTMESH_CHAOS_SEED", "2026"))
CUTS, EVENTS, PAUSE = (100, 10_000, 0.03) if LONG else (24, 2_000, 0.02)
# Of so many cuts one is of the gateway.
GATEWAY_EACH = 6


@dataclass
class Run:
    """One gateway at a time, and its readers."""

    spawn: Spawn
    gateway: GatewayProcess
    followers: list[Follower]
    chance: random.Random
    killed: int = 0
    asked: int = 0

    async def cut(self, number: int) -> None:
        """One cut: of a reader's connection, or of the gateway, killed or asked to end."""
        await asyncio.sleep(self.chance.uniform(0.02, 0.3))
        if number % GATEWAY_EACH:
            await self._cut_reader(self.chance.choice(self.followers))
            return
        if self.chance.random() < 0.5:
            await self.gateway.kill()
            self.killed += 1
        else:
            self.gateway.signal(signal.SIGTERM)
            assert await self.gateway.ended() == 0
            self.asked += 1
        self.gateway = await self.spawn(int(self.gateway.url.rsplit(":", 1)[1]))

    async def _cut_reader(self, follower: Follower) -> None:
        before = follower.cuts
        follower.wanted = True

        async def look() -> bool:
            return follower.cuts > before

        await wait_for(look, 20, "a cut of a reader")


async def test_what_readers_received_is_what_is_stored_whatever_was_cut(
    mesh: Mesh, spawn: Spawn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = await spawn(free_port(set()))
    all_of_it = Follower(gateway.url, "?context=requests,tasks&from=beginning", "admin", SEED)
    created = Follower(gateway.url, "?context=requests&type=RequestCreated&from=beginning", "customer", SEED + 1)
    run = Run(spawn, gateway, [all_of_it, created], random.Random(SEED))
    writers = Writers(mesh, SEED, pause=PAUSE)
    writing = [asyncio.create_task(writers.run(number)) for number in range(3)]
    reading = [asyncio.create_task(each.run()) for each in run.followers]
    try:
        for number in range(CUTS):
            await run.cut(number)

        async def look() -> bool:
            assert not [task.exception() for task in (*writing, *reading) if task.done()]
            return writers.written >= EVENTS

        await wait_for(look, 200, f"{EVENTS} events")
        writers.enough.set()
        await asyncio.gather(*writing)
        kept, kept_created = await stored(mesh), await stored(mesh, ("requests",), (CREATED,))

        async def complete() -> bool:
            assert not [task.exception() for task in reading if task.done()]
            return not differences(all_of_it.received, kept) and not differences(created.received, {**kept_created, "tasks": []})

        try:
            await wait_for(complete, 20, "the rest")
        except AssertionError:
            pytest.fail(f"{differences(all_of_it.received, kept)} {differences(created.received, {**kept_created, 'tasks': []})}")
    finally:
        for task in (*writing, *reading):
            task.cancel()
        await asyncio.gather(*writing, *reading, return_exceptions=True)
    assert writers.late
    assert set(all_of_it.closings + created.closings) <= {"drained"}
    told = f"{sum(each.cuts for each in run.followers)} of readers, {run.killed} kills and {run.asked} drains of the gateway"
    with capsys.disabled():
        print(
            f"\nstreams: {sum(map(len, kept.values()))} of {writers.written} events were the tenant's, {CUTS} cuts ({told}), "
            f"{all_of_it.connections + created.connections} connections, {writers.late} late commits: lost 0, repeated 0"
        )
