"""Drives the DBOS workflow: enqueued for the workers; one request alone is started in this process, as its quickest way is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import psycopg
from dbos import DBOSClient

from tests.benchmarks.workflow.cases import case
from tests.benchmarks.workflow.dbos_app import QUEUE, VERSION, WORKFLOW, answer_request, launch
from tests.benchmarks.workflow.drivers import Contender, drive

ENDED = "SELECT workflow_uuid, status FROM dbos.workflow_status WHERE workflow_uuid = ANY (%s) AND status NOT IN ('ENQUEUED', 'PENDING')"


class DbosWorkflow(Contender):
    """A workflow of three steps."""

    async def start(self) -> None:
        """See the base. This process takes nothing from the queue."""
        launch("driver", [])
        self._client = DBOSClient(system_database_url=os.environ["DATABASE_URL"])
        self._connection: psycopg.Connection[Any] = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)

    async def submit(self, numbers: Sequence[int]) -> list[str]:
        """See the base."""
        return await asyncio.to_thread(lambda: [self._enqueue(number) for number in numbers])

    def _enqueue(self, number: int) -> str:
        handle: Any = self._client.enqueue({"queue_name": QUEUE, "workflow_name": WORKFLOW, "app_version": VERSION}, *case(number))
        identity: str = handle.get_workflow_id()
        return identity

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """See the base."""
        rows = self._connection.execute(ENDED, (list(ids),), prepare=True).fetchall()
        for identity, status in rows:
            if status != "SUCCESS":
                raise RuntimeError(f"workflow {identity} of DBOS ended with {status}")
        return {identity for identity, _ in rows}

    async def alone(self, number: int) -> None:
        """See the base."""
        await asyncio.to_thread(answer_request, *case(number))


if __name__ == "__main__":
    asyncio.run(drive(DbosWorkflow()))
