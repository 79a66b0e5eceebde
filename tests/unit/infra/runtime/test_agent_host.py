"""What a host does with runs whose lease is not renewed: it stops those that think, and lets those that tell their result go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from infra.agents.base import Agent
from infra.agents.runs import Run
from infra.runtime.agent_host import AgentHost, _Running
from infra.settings import load_settings
from infra.telemetry.telemetry import Telemetry


class Idle(Agent):
    kind: ClassVar[str] = "idle"
    capabilities: ClassVar[Mapping[str, int]] = {"waiting": 1}

    async def handle(self, task: Any, context: Any) -> dict[str, Any]:
        """Never asked."""
        return {}


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("telling", [True, False])
async def test_a_lost_lease_stops_a_run_unless_its_result_is_on_its_way(telling: bool) -> None:
    settings = load_settings().with_endpoints(
        postgres_dsn="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1/0", kafka_bootstrap="127.0.0.1:1"
    )
    host = AgentHost(Idle(), settings, Telemetry.for_tests(), lease_seconds=0.03)
    judged = asyncio.Event()
    times = iter(range(100))

    async def renew(_: Any) -> set[Run]:
        if next(times):  # the second time, the answer of the first has been judged
            judged.set()
        return set()

    host._runs = SimpleNamespace(renew=renew)  # type: ignore[assignment]
    running = _Running(None, None, [], telling=telling)  # type: ignore[arg-type]
    running.work = asyncio.create_task(hang())
    host._running[Run("task-1", 1)] = running
    renewing = asyncio.create_task(host._renew())
    async with asyncio.timeout(10):
        await judged.wait()
    assert running.work.done() is not telling
    assert running.cancelled.is_set() is not telling
    for task in (renewing, running.work):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
