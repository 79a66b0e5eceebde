"""Watches a demo's commands on their way: when each was published, and what its outcome is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.event_store.base import Outcome
from services.cli.demo.plan import Plan, Planned
from services.cli.mesh import Mesh

CONTEXT, TASKS = "requests", "tasks"
OUTCOME_PAGE = 5_000

Pair = tuple[str, str]


@dataclass(slots=True)
class Watch:
    """What was seen so far."""

    plan: Plan
    published: int = 0
    outcomes: dict[Pair, Outcome] = field(default_factory=dict)
    published_at: dict[Pair, float] = field(default_factory=dict)
    _requests: dict[str, float] = field(default_factory=dict)

    def note_published(self, page: list[Planned], at: float) -> None:
        """These records were handed to Kafka at this time."""
        self.published += len(page)
        for planned in page:
            pair = (planned.command.aggregate_id, planned.command.command_id)
            self.published_at.setdefault(pair, at)
            if planned.fault is None:
                self._requests.setdefault(planned.command.aggregate_id, at)

    def request_published_at(self, request_id: str) -> float | None:
        """When the request was handed to Kafka, for the first time."""
        return self._requests.get(request_id)


async def wait_for_outcomes(mesh: Mesh, watch: Watch, deadline: float, progress: Callable[[int], None]) -> None:
    """Wait until every command has its outcome, or until the deadline."""
    missing = list(watch.plan.commands())
    store = mesh.stores[CONTEXT]
    while missing and time.monotonic() < deadline:
        for start in range(0, len(missing), OUTCOME_PAGE):
            watch.outcomes.update(await store.outcomes(missing[start : start + OUTCOME_PAGE]))
        missing = [pair for pair in missing if pair not in watch.outcomes]
        progress(len(watch.outcomes))
        if missing:
            await asyncio.sleep(0.05)
