"""What is done to a fleet while it works: kills, pauses, orderly ends, and crashes of its servers, in an order that follows from a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from tests.chaos.arena import Arena, eventually
from tests.chaos.fleet import Fleet

REQUESTS = ("requests-1", "requests-2")
ALL = (*REQUESTS, "relay-1", "projections-1")
# Past the session timeout of 6 s: the group goes on without the paused worker, which then wakes up as a zombie.
PAUSE_SECONDS = 8.0
RELAY_BEHIND = "SELECT h.position > p.position FROM requests.log_head h, mesh.relay_positions p WHERE p.context = 'requests'"
PROJECTION_BEHIND = (
    "SELECT (SELECT max(position) FROM mesh.checkpoints WHERE projection = 'requests') < "
    "(SELECT position FROM mesh.relay_positions WHERE context = 'requests')"
)


class Faults:
    """The faults of one run. A pause goes on beside the rounds that follow; everything else is over when its method returns."""

    def __init__(self, arena: Arena, fleet: Fleet, seed: int) -> None:
        self._arena = arena
        self._fleet = fleet
        self._random = random.Random(seed)
        self._paused: dict[str, asyncio.Task[None]] = {}
        self.exit_codes: list[int] = []

    def schedule(self, rounds: int) -> Iterator[Callable[[], Awaitable[None]]]:
        """One fault a round; within the first ten rounds every kind."""
        kinds: list[Callable[[], Awaitable[None]]] = []
        while len(kinds) < rounds:
            more = [
                self.kill_requests,
                self.kill_requests,
                self.kill_both_requests,
                self.kill_relay,
                self.kill_relay,
                self.kill_projections,
                self.kill_projections,
                self.pause,
                self.crash_postgres,
                self.kill_broker,
            ]
            if kinds:
                more[0], more[3], more[5] = self.end_in_order, self.kill_everything, self.pause
            self._random.shuffle(more)
            kinds += more
        yield from kinds[:rounds]

    async def moment(self) -> None:
        """Some time into a burst."""
        await asyncio.sleep(self._random.choice([0.0, 1.0]) + self._random.uniform(0.0, 0.4))

    async def kill_requests(self) -> None:
        """One requests worker."""
        self._fleet.kill(self._random.choice(REQUESTS))

    async def kill_both_requests(self) -> None:
        """Both, one shortly after the other."""
        for name in REQUESTS:
            self._fleet.kill(name)
            await asyncio.sleep(self._random.uniform(0.0, 0.3))

    async def kill_relay(self) -> None:
        """The relay, with something to relay."""
        await self._arena.wait_for_work(RELAY_BEHIND, self._random.uniform(0.0, 1.0))
        await asyncio.sleep(self._random.uniform(0.0, 0.02))
        self._fleet.kill("relay-1")

    async def kill_projections(self) -> None:
        """The projection worker, with something to project."""
        await self._arena.wait_for_work(PROJECTION_BEHIND, self._random.uniform(0.0, 1.0))
        await asyncio.sleep(self._random.uniform(0.0, 0.02))
        self._fleet.kill("projections-1")

    async def kill_everything(self) -> None:
        """The whole fleet."""
        for name in ALL:
            self._fleet.kill(name)

    async def pause(self) -> None:
        """SIGSTOP now, SIGCONT after the session has timed out."""
        name = self._random.choice([*REQUESTS, *REQUESTS, "relay-1", "projections-1"])
        if name in self._paused or not self._fleet.running(name):
            return
        pid = self._fleet.pause(name)
        self._fleet.kills["pause"] += 1

        async def resume() -> None:
            await asyncio.sleep(PAUSE_SECONDS)
            self._fleet.resume(name, pid)
            del self._paused[name]

        self._paused[name] = asyncio.create_task(resume())

    async def end_in_order(self) -> None:
        """SIGTERM: the process ends with 0. One that still imports its modules has no say in how it ends, nor has one that was killed just
        now: it is waited for, or its successor is."""
        name = self._random.choice([name for name in ALL if name not in self._paused])
        await eventually(lambda: self._fleet.serves(name), 60, f"{name} serving its health")
        self.exit_codes.append(await self._fleet.terminate(name, seconds=45))
        self._fleet.kills["SIGTERM"] += 1

    async def crash_postgres(self) -> None:
        """Immediate shutdown and restart."""
        self._fleet.kills["postgres"] += 1
        await self._arena.crash_postgres(self._random.uniform(0.0, 2.0))

    async def kill_broker(self) -> None:
        """SIGKILL and restart."""
        self._fleet.kills["broker"] += 1
        await self._arena.kill_broker(self._random.uniform(0.0, 2.0))

    async def over(self) -> None:
        """Wait for the pauses that still go on."""
        for task in list(self._paused.values()):
            with suppress(asyncio.CancelledError):
                await task
