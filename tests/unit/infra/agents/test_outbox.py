"""What a host's outbox sends, and in which order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from types import SimpleNamespace
from typing import Any

from contracts.ids import AgentId, TaskId, TenantId
from contracts.tasks.commands import CompleteTask, StartTask
from infra.agents.outbox import Outgoing, RunOutbox
from infra.agents.runs import Run
from infra.kafka.producer import OutgoingRecord
from tests.unit.infra.agents.metadata import metadata_of

COMMON = {"tenant_id": TenantId("t"), "task_id": TaskId("task-1"), "agent_id": AgentId("agent-1"), "attempt": 1}
RUN = Run("task-1", 1)


class Publisher:
    """Notes each page."""

    def __init__(self) -> None:
        self.pages: list[list[str]] = []

    async def publish(self, records: Iterable[OutgoingRecord]) -> None:
        self.pages.append([dict(record.headers)["ce_type"].decode().split(".")[2] for record in records])


def outbox(ours: set[Run]) -> tuple[RunOutbox, Publisher]:
    publisher = Publisher()

    async def finish(_: Any) -> set[Run]:
        return ours

    async def once(_: str, work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    return RunOutbox(SimpleNamespace(finish=finish), publisher, "", lambda: once), publisher  # type: ignore[arg-type]


async def sent(made: RunOutbox) -> bool:
    start, end = StartTask(**COMMON), CompleteTask(**COMMON, result={})
    made.post(Outgoing(start, metadata_of(start), None))
    working = asyncio.create_task(made.run())
    try:
        return await made.send(Outgoing(end, metadata_of(end), RUN))
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def test_a_start_that_nobody_waits_for_goes_out_before_the_result() -> None:
    made, publisher = outbox({RUN})
    assert await sent(made)
    assert [name for page in publisher.pages for name in page] == ["StartTask", "CompleteTask"]


async def test_the_result_of_a_lost_run_is_dropped_and_its_start_is_not() -> None:
    made, publisher = outbox(set())
    assert not await sent(made)
    assert [name for page in publisher.pages for name in page] == ["StartTask"]
