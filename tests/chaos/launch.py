"""Runs one worker as a process: `python -m tests.chaos.launch NAME [SABOTAGE]`; as in production, or with one of its guards removed.
`… launch run WORKER …` runs what `agentmesh run` runs.

A sabotage exists to prove that the checker would see the guard missing. Each writes the file named by AGENTMESH_CHAOS_HOLD when it has
reached the moment in question, and then waits there to be killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.runtime.command_worker import CommandWorker
from infra.runtime.process import LIVENESS_SECONDS, main
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry

HOLD_VARIABLE = "AGENTMESH_CHAOS_HOLD"
LIVENESS_VARIABLE = "AGENTMESH_CHAOS_LIVENESS_SECONDS"


async def hold() -> None:
    """Tell the test that the moment has come, and stay in it."""
    await asyncio.to_thread(Path(os.environ[HOLD_VARIABLE]).write_text, "held", encoding="utf-8")
    await asyncio.sleep(600)


def hold_before_append() -> None:
    """The guard in place: the batch is in work, its offsets are not committed."""

    async def settle(self: CommandWorker, records: list[Any]) -> None:
        await hold()

    CommandWorker._settle = settle  # type: ignore[method-assign]


def commit_first() -> None:
    """Guard removed: offsets are committed before the batch is settled."""

    async def settle(self: CommandWorker, records: list[Any]) -> None:
        self._offsets.done(records)
        await self._offsets.commit()
        await hold()

    CommandWorker._settle = settle  # type: ignore[method-assign]


def hold_before_publish() -> None:
    """The guard in place: the relay holds a page, its position has not moved."""
    from infra.kafka.producer import PagePublisher

    async def publish(self: PagePublisher, records: Any) -> None:
        await hold()

    PagePublisher.publish = publish  # type: ignore[method-assign]


def advance_first() -> None:
    """Guard removed: the relay moves its position before the broker has the page."""
    from services.relay.relay import ContextRelay

    hold_before_publish()
    next_page = ContextRelay._next_page

    async def advanced(self: ContextRelay, after: int) -> Sequence[Any]:
        page = await next_page(self, after)
        if page:
            async with self._store._database.connection() as connection:  # type: ignore[attr-defined]
                await connection.execute(
                    "UPDATE mesh.relay_positions SET position = %s WHERE context = %s", (page[-1].position, self.context)
                )
        return page

    ContextRelay._next_page = advanced  # type: ignore[method-assign]


def checkpoint_first() -> None:
    """Guard removed: the projection moves its checkpoints in a transaction of their own, before the rows."""
    from infra.read_models.checkpoints import Move
    from infra.read_models.postgres import ReadModelWriter

    save = ReadModelWriter.save

    async def saved(self: ReadModelWriter, move: Move) -> None:
        await save(self, Move(move.expected, move.reached))
        if move.changes:
            await hold()

    ReadModelWriter.save = saved  # type: ignore[method-assign]


SABOTAGE: dict[str, Callable[[], None]] = {
    "hold-before-append": hold_before_append,
    "commit-first": commit_first,
    "hold-before-publish": hold_before_publish,
    "advance-first": advance_first,
    "checkpoint-first": checkpoint_first,
}


def requests(settings: MeshSettings, telemetry: Telemetry) -> Any:
    """The command worker."""
    from services.requests.worker import build

    return build(settings, telemetry)


def relay(settings: MeshSettings, telemetry: Telemetry) -> Any:
    """The relay."""
    from services.relay.worker import build

    return build(settings, telemetry)


def projections(settings: MeshSettings, telemetry: Telemetry) -> Any:
    """The worker of the read model `requests`."""
    from infra.runtime.projection_worker import ProjectionWorker
    from projections.requests.projection import REQUESTS

    return ProjectionWorker(REQUESTS, settings, telemetry)


BUILD: dict[str, Callable[[MeshSettings, Telemetry], Any]] = {"requests": requests, "relay": relay, "projections": projections}


def end_with_parent() -> None:
    """End when the test run is gone, whatever it died of: nothing is ever written to our standard input, its end is the sign."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()


def run(name: str, sabotage: str | None = None) -> int:
    """Run the worker to its end; answers the exit code."""
    if sabotage is not None:
        SABOTAGE[sabotage]()

    return main({name: BUILD[name]}, liveness_seconds=float(os.environ.get(LIVENESS_VARIABLE, LIVENESS_SECONDS)))


def run_plan(arguments: Sequence[str]) -> int:
    """Run the workers that `agentmesh run` would run."""
    from services.cli.workers import builders, plan_of

    return main(builders(plan_of(arguments)))


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_plan(sys.argv[2:]) if sys.argv[1] == "run" else run(*sys.argv[1:]))
