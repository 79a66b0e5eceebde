"""Marks many parked records for redrive: surveyed first, at a limited rate, stoppable between chunks; run by `agentmesh dlq requeue`."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from infra.dead_letters.base import PARKED, ParkedFilter, ParkedRecords

PAGE = 500
# With a rate, chunks are small enough that each second sees several.
CHUNKS_A_SECOND = 5


@dataclass(slots=True)
class Survey:
    """What a redrive by a filter would mark."""

    through: int
    records: int = 0
    aggregates: set[str] = field(default_factory=set)
    error_types: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Marked:
    """What a redrive has marked. `complete` is False when it was stopped."""

    records: int
    last_position: int
    complete: bool


async def bounded(records: ParkedRecords, wanted: ParkedFilter) -> ParkedFilter:
    """The filter with an upper bound and for parked records only: what is parked from now on is not meant."""
    through = await records.end() if wanted.through is None else wanted.through
    return replace(wanted, through=through, statuses=(PARKED,))


async def survey(records: ParkedRecords, wanted: ParkedFilter) -> Survey:
    """Count what a bounded filter means; changes nothing."""
    found = Survey(wanted.through or 0)
    after = 0
    while page := await records.find(wanted, after, PAGE):
        after = page[-1].position
        found.records += len(page)
        found.error_types.update(item.error_type for item in page)
        found.aggregates.update(item.aggregate_id for item in page if item.aggregate_id is not None)
    return found


async def requeue(
    records: ParkedRecords,
    wanted: ParkedFilter,
    *,
    who: str,
    why: str,
    stop: asyncio.Event,
    rate: float | None = None,
    progress: Callable[[int], None] = lambda marked: None,
) -> Marked:
    """Mark what a bounded filter means, in position order, at most `rate` records a second; ends early, between two chunks, at `stop`."""
    chunk = PAGE if rate is None else max(1, min(PAGE, int(rate / CHUNKS_A_SECOND)))
    marked = after = 0
    while not stop.is_set():
        page = await records.find(wanted, after, chunk)
        if not page:
            return Marked(marked, after, True)
        positions = [item.position for item in page]
        marked += len(await records.requeue(positions, who, why))
        after = positions[-1]
        progress(marked)
        if rate is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=len(page) / rate)
    return Marked(marked, after, False)
