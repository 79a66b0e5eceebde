"""Drives the Celery chain: `apply_async` for each request, its end seen in the result backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from tests.benchmarks.workflow.cases import case
from tests.benchmarks.workflow.celery_app import app, three_steps
from tests.benchmarks.workflow.drivers import Contender, drive


class CeleryChain(Contender):
    """A chain of three tasks."""

    async def submit(self, numbers: Sequence[int]) -> list[str]:
        """See the base."""
        return await asyncio.to_thread(lambda: [three_steps(*case(number)).apply_async().id for number in numbers])

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """See the base. One question for all: asking result by result would be Celery's loss."""
        backend = app.backend
        found = backend.client.mget([backend.get_key_for_task(each) for each in ids])
        done = set()
        for each, value in zip(ids, found, strict=True):
            if value is None:
                continue
            status = json.loads(value)["status"]
            if status != "SUCCESS":
                raise RuntimeError(f"a chain of Celery ended with {status}")
            done.add(each)
        return done


if __name__ == "__main__":
    asyncio.run(drive(CeleryChain()))
