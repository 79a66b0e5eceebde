"""Whether a loop should let records gather before its next batch: how scarce processors are and how fast records come in, milliseconds out;
asked by whatever works in batches (consumers, relay, dispatcher).

A batch costs about the same whether it brings one record or twenty. While processors are free small batches are quick and cost nobody
anything; once every process waits for a processor they keep the others waiting. So a process watches for how long its main thread was
runnable without running (Linux, `/proc/self/schedstat`; elsewhere nothing is gathered), and a loop whose records come close together then
waits a little for more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

SCHEDSTAT = Path("/proc/self/schedstat")
LOOK_SECONDS = 0.2
SCARCE, PLENTY = 0.5, 0.4
"""The share spent waiting, of the time in which the thread wanted a processor: above the first more is gathered, below the second less."""
FIRST_MS, LONGEST_MS = 10.0, 30.0
GROWTH, DECAY = 1.5, 0.7
WORTH = 3
"""So many records should come while others wait for them, else nothing is gained."""
RATE_SECONDS = 0.25
"""Over which time the rate is taken."""

Times = tuple[int, int]
"""Nanoseconds on a processor, and waiting for one, since the thread began."""


def thread_times() -> Times | None:
    """Those of the main thread; None where the system does not say."""
    try:
        ran, waited, _ = SCHEDSTAT.read_text().split()
        return int(ran), int(waited)
    except (OSError, ValueError):
        return None


class ProcessorPressure:
    """How scarce processors are for this process. Looks at most every `LOOK_SECONDS`, when it is asked."""

    def __init__(self, times: Callable[[], Times | None] = thread_times, clock: Callable[[], float] = time.monotonic) -> None:
        self._times = times
        self._clock = clock
        self._seen: Times | None = None
        self._looked = -math.inf
        self._gather_ms = 0.0

    def gather_ms(self) -> float:
        """How long to gather where many records come; 0 while processors are free."""
        now = self._clock()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._gather_ms

    def _look(self) -> None:
        before, self._seen = self._seen, self._times()
        if before is None or self._seen is None:
            return
        ran, waited = self._seen[0] - before[0], self._seen[1] - before[1]
        share = waited / (ran + waited) if ran + waited > 0 else 0.0
        if share > SCARCE:
            self._gather_ms = min(LONGEST_MS, max(FIRST_MS, self._gather_ms * GROWTH))
        elif share < PLENTY:
            self._gather_ms = self._gather_ms * DECAY if self._gather_ms > FIRST_MS else 0.0


PRESSURE = ProcessorPressure()
"""That of this process."""


class Gathering:
    """What one loop should wait before its next batch. Told of each batch; keeps the rate of its records, which fades with time."""

    def __init__(self, pressure: ProcessorPressure = PRESSURE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pressure = pressure
        self._clock = clock
        self._recent = 0.0
        self._last = clock()

    def after(self, records: int) -> float:
        """The milliseconds to gather after a batch of so many records; 0 where that would bring too few to be worth it."""
        now = self._clock()
        self._recent = self._recent * math.exp((self._last - now) / RATE_SECONDS) + records
        self._last = now
        gather_ms = self._pressure.gather_ms()
        return gather_ms if self._recent / RATE_SECONDS * gather_ms / 1000 >= WORTH else 0.0
