"""Heartbeats of a host: one at once and one per interval, also after a failure, and a goodbye that nobody waits long for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from contracts.fleet import HostGone, HostHeartbeat, RunningTask, read_fleet_record
from infra.agents.heartbeats import GOODBYE_SECONDS, Heartbeats
from infra.agents.runs import Run
from infra.errors import TransientError
from infra.kafka.producer import OutgoingRecord, PagePublisher
from tests.virtual_time import run


class Broker:
    """Keeps what is published, with the time; refuses or holds while told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, Any]] = []
        self.away = False
        self.frozen = False
        self.closed = False

    async def publish(self, records: Iterable[OutgoingRecord]) -> None:
        if self.frozen:
            await asyncio.Event().wait()
        if self.away:
            raise TransientError("away")
        now = asyncio.get_running_loop().time()
        self.heard += [(now, read_fleet_record(each.key, each.value, each.headers)) for each in records]

    async def close(self) -> None:
        self.closed = True


def heartbeats(broker: Broker, running: list[Run]) -> Heartbeats:
    publisher = cast(PagePublisher, broker)
    return Heartbeats(publisher, "fleet", "host-1", ["triage"], capacity=4, interval_seconds=3, running=lambda: running)


async def during(work: Heartbeats, seconds: float) -> None:
    task = asyncio.create_task(work.run())
    await asyncio.sleep(seconds)
    task.cancel()


def test_a_host_tells_its_kinds_runs_and_load_at_once() -> None:
    async def main() -> None:
        broker = Broker()
        await during(heartbeats(broker, [Run("task-1", 2)]), 1)
        ((at, said),) = broker.heard
        assert isinstance(said, HostHeartbeat)
        assert (at, said.host_id, said.kinds, said.capacity, said.load) == (0, "host-1", ("triage",), 4, 0.25)
        assert said.running == (RunningTask(task_id="task-1", attempt=2),)  # type: ignore[arg-type]

    run(main())


def test_a_heartbeat_that_is_not_heard_is_left_out_and_the_next_comes_in_time() -> None:
    async def main() -> None:
        broker = Broker()
        work = heartbeats(broker, [])
        broker.away = True
        await during(work, 4)
        broker.away = False
        await during(work, 7)
        assert [at for at, _ in broker.heard] == [4, 7, 10]

    run(main())


def test_a_goodbye_deletes_the_record_and_closes_the_producer() -> None:
    async def main() -> None:
        broker = Broker()
        await heartbeats(broker, []).goodbye()
        assert broker.heard == [(0, HostGone("host-1"))]
        assert broker.closed

    run(main())


def test_a_goodbye_that_nobody_hears_keeps_no_host_from_leaving() -> None:
    async def main() -> None:
        broker = Broker()
        broker.frozen = True
        await heartbeats(broker, []).goodbye()
        assert broker.closed
        assert asyncio.get_running_loop().time() == GOODBYE_SECONDS

    run(main())
