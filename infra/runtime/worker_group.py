"""Several workers that are one to their process: a command worker with the read models that it keeps for itself; built by a worker.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from infra.health.base import HealthCheck
from infra.runtime.base import Worker


class WorkerGroup:
    """Starts its workers in order and stops them together; what one of them dies of, the group dies of."""

    def __init__(self, name: str, *workers: Worker) -> None:
        self.name = name
        self.workers = workers
        self._touched: list[Worker] = []

    async def start(self) -> None:
        """Start each worker. What was started before one that fails is stopped by `stop`."""
        for worker in self.workers:
            self._touched.append(worker)
            await worker.start()

    async def stop(self) -> None:
        """Stop all at once; raises what the first of them raised, when all have ended."""
        ended = await asyncio.gather(*(worker.stop() for worker in self._touched), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def wait_failed(self) -> None:
        """Returns when a worker has stopped; raises what its background work died of."""
        waiting = [asyncio.create_task(worker.wait_failed(), name=worker.name) for worker in self.workers]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def health_checks(self) -> Sequence[HealthCheck]:
        """Those of all workers."""
        return [check for worker in self.workers for check in worker.health_checks()]

    def last_attempt(self) -> float:
        """That of the worker that has made none for longest."""
        return min(worker.last_attempt() for worker in self.workers)
