"""The process that gives a contender its requests and watches them end: the same loop for all, over a few calls that each contender has.

Told on stdin what to do, one JSON object a line; answers on stdout. Open loop: a request is due at a time that does not depend on the
contender, and its latency counts from there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.children import tell

POLL_SECONDS = 0.003
BURST_POLL_SECONDS = 0.03
# Ends are looked for among so many of the oldest requests: enough to see the last one end, and a cheap question.
WINDOW = 200
PATIENCE = 120.0
TICK_SECONDS = 0.02


class TookTooLong(Exception):
    """Requests that did not end."""


class Contender(ABC):
    """What a driver needs of a system."""

    async def start(self) -> None:  # noqa: B027 - not every contender has something to make
        """Connect, and make what has to be there once."""

    @abstractmethod
    async def submit(self, numbers: Sequence[int]) -> list[str]:
        """Hand over the requests with these numbers; answers their ids."""

    @abstractmethod
    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Which of these have ended with an answer, as the system's own users would see it. Raises RuntimeError for one that failed."""

    async def alone(self, number: int) -> None:
        """One request from submission to its answer."""
        await wait_for(self, await self.submit([number]), POLL_SECONDS)


async def wait_for(contender: Contender, ids: Sequence[str], pause: float) -> None:
    """Return when all of these have ended."""
    waiting = list(ids)
    deadline = time.monotonic() + PATIENCE
    while waiting:
        window = waiting[:WINDOW]
        found = await contender.ended(window)
        if found:
            waiting = [each for each in window if each not in found] + waiting[WINDOW:]
            deadline = time.monotonic() + PATIENCE
            continue
        if time.monotonic() > deadline:
            raise TookTooLong(f"{len(waiting)} of {len(ids)} requests have not ended, nothing moved for {PATIENCE:.0f} s: {waiting[:3]}")
        await asyncio.sleep(pause)


async def burst(contender: Contender, first: int, count: int) -> dict[str, float]:
    """All at once; until the last has ended."""
    started = time.monotonic()
    ids = await contender.submit(range(first, first + count))
    submitted = time.monotonic() - started
    await wait_for(contender, ids, BURST_POLL_SECONDS)
    return {"seconds": time.monotonic() - started, "submitted": submitted}


async def paced(contender: Contender, first: int, rate: float, seconds: float) -> dict[str, Any]:
    """A fixed rate; the latency of each request in milliseconds."""
    due: dict[str, float] = {}
    latencies: list[float] = []
    total = max(1, round(rate * seconds))
    start = time.monotonic() + 0.1
    late = 0.0

    async def send() -> None:
        nonlocal late
        sent = 0
        while sent < total:
            now = time.monotonic()
            ready = min(total, int((now - start) * rate) + 1) if now >= start else 0
            if ready > sent:
                late = max(late, now - (start + sent / rate))
                numbers = range(sent, ready)
                for number, each in zip(numbers, await contender.submit([first + number for number in numbers]), strict=True):
                    due[each] = start + number / rate
                sent = ready
            await asyncio.sleep(TICK_SECONDS)

    sending = asyncio.create_task(send())
    last_seen = time.monotonic()
    while not sending.done() or due:
        window = list(due)[:WINDOW]
        found = await contender.ended(window) if window else set()
        now = time.monotonic()
        for each in found:
            latencies.append((now - due.pop(each)) * 1e3)
        if found or not due:
            last_seen = now
        elif now - last_seen > PATIENCE:
            raise TookTooLong(f"{len(due)} requests have not ended")
        await asyncio.sleep(POLL_SECONDS)
    await sending
    return {"latencies": latencies, "late": late * 1e3, "seconds": time.monotonic() - start}


async def alone(contender: Contender, first: int, times: int, pause: float) -> dict[str, Any]:
    """One after the other on an idle system."""
    latencies = []
    for number in range(times):
        await asyncio.sleep(pause)
        started = time.monotonic()
        await contender.alone(first + number)
        latencies.append((time.monotonic() - started) * 1e3)
    return {"latencies": latencies}


WORK = {"burst": burst, "paced": paced, "alone": alone}


async def drive(contender: Contender) -> None:
    """Do what is asked, line by line, to the end of stdin."""
    await contender.start()
    tell("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        tell(await WORK[asked.pop("do")](contender, **asked))
