"""Watches a demo's commands on their way: when each has its outcome in the store, and when the read model shows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from infra.event_store.base import Outcome, OutcomeKind
from infra.postgres.sql_files import read_sql
from services.cli.demo.plan import Plan, Planned
from services.cli.mesh import Mesh

CONTEXT = "requests"
LOOK_SECONDS = 0.01
OUTCOME_PAGE = 5_000

Pair = tuple[str, str]


@dataclass(slots=True)
class Watch:
    """What was seen so far. `latencies` are the seconds from publishing a command to the read model's showing it."""

    plan: Plan
    published: int = 0
    outcomes: dict[Pair, Outcome] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    shown_at: dict[Pair, float] = field(default_factory=dict)
    published_at: dict[Pair, float] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, list[tuple[int, Pair]]] = field(default_factory=dict)

    def note_published(self, page: list[Planned], at: float) -> None:
        """These records were handed to Kafka at this time."""
        self.published += len(page)
        for planned in page:
            pair = (planned.command.aggregate_id, planned.command.command_id)
            if pair in self.published_at:
                continue
            self.published_at[pair] = at
            if planned.expected is OutcomeKind.EVENTS:
                self._waiting.setdefault(planned.command.aggregate_id, []).append((planned.version, pair))

    def note_shown(self, versions: Mapping[str, int], at: float) -> None:
        """The read model showed these versions at this time."""
        for aggregate_id, version in versions.items():
            self.shown[aggregate_id] = version
            waiting = self._waiting.get(aggregate_id, [])
            for expected, pair in [entry for entry in waiting if entry[0] <= version]:
                waiting.remove((expected, pair))
                self.shown_at[pair] = at
                self.latencies.append(at - self.published_at[pair])
            if not waiting:
                self._waiting.pop(aggregate_id, None)

    def correct_by_outcomes(self) -> None:
        """Now that every outcome is known, wait for what happened, not for what was planned."""
        self._waiting = {}
        for pair, outcome in self.outcomes.items():
            if outcome.kind is OutcomeKind.EVENTS and pair not in self.shown_at:
                self._waiting.setdefault(pair[0], []).append((outcome.version, pair))

    def not_shown(self) -> list[str]:
        """The aggregates of which the read model does not show all yet."""
        return list(self._waiting)


async def watch_read_model(mesh: Mesh, watch: Watch, done: asyncio.Event) -> None:
    """Ask the read model again and again until `done` is set and everything is shown."""
    sql = read_sql("services.cli.sql", "shown_versions.sql")
    while not (done.is_set() and not watch.not_shown()):
        ids = watch.not_shown()
        if ids:
            rows = await mesh.database.fetch(sql, {"ids": ids})
            watch.note_shown(dict(map(tuple, rows)), time.monotonic())
        await asyncio.sleep(LOOK_SECONDS)


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
