"""Workers that are one to their process: started in order, stopped together, as dead as one of them, as silent as the quietest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from infra.health.base import HealthCheck
from infra.runtime.worker_group import WorkerGroup


class Part:
    """A worker that notes what happens to it."""

    def __init__(self, name: str, told: list[str], *, attempt: float = 0.0, broken: bool = False) -> None:
        self.name = name
        self._told = told
        self._attempt = attempt
        self._broken = broken
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        self._told.append(f"{self.name} starts")
        if self._broken:
            raise RuntimeError(f"{self.name} cannot start")

    async def stop(self) -> None:
        self._told.append(f"{self.name} stops")
        if self._broken:
            raise RuntimeError(f"{self.name} cannot stop")

    async def wait_failed(self) -> None:
        await self.failed

    def health_checks(self) -> Sequence[HealthCheck]:
        return [self.name]  # type: ignore[list-item]

    def last_attempt(self) -> float:
        return self._attempt


async def test_parts_start_in_order_and_are_judged_by_the_quietest() -> None:
    told: list[str] = []
    group = WorkerGroup("both", Part("a", told, attempt=7.0), Part("b", told, attempt=3.0))
    await group.start()
    assert (told, group.last_attempt(), list(group.health_checks())) == (["a starts", "b starts"], 3.0, ["a", "b"])
    await group.stop()
    assert told[2:] == ["a stops", "b stops"]


async def test_what_one_part_dies_of_the_group_dies_of() -> None:
    part = Part("b", [])
    group = WorkerGroup("both", Part("a", []), part)
    await group.start()
    waiting = asyncio.create_task(group.wait_failed())
    part.failed.set_exception(RuntimeError("b is broken"))
    with pytest.raises(RuntimeError, match="b is broken"):
        await waiting


async def test_a_part_that_cannot_stop_keeps_no_other_one_running_and_what_never_started_is_not_stopped() -> None:
    told: list[str] = []
    group = WorkerGroup("all", Part("a", told), Part("b", told, broken=True), Part("c", told))
    with pytest.raises(RuntimeError, match="b cannot start"):
        await group.start()
    with pytest.raises(RuntimeError, match="b cannot stop"):
        await group.stop()
    assert told == ["a starts", "b starts", "a stops", "b stops"]
