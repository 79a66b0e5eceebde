"""Asks the database of a worker's pool for `SELECT 1`; part of readiness."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from psycopg_pool import AsyncConnectionPool

from infra.health.measured import MeasuredCheck

ACQUIRE_SECONDS = 5.0


class PostgresHealthCheck(MeasuredCheck):
    """Healthy under 100 ms, including the wait for a connection: a pool that is exhausted is slow for everybody."""

    name = "database"
    detail = "query_time_ms"
    degraded_from_ms = 100.0

    def __init__(self, pool: AsyncConnectionPool[Any], clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self._pool = pool

    async def look(self) -> dict[str, Any]:
        """One round trip."""
        async with self._pool.connection(timeout=ACQUIRE_SECONDS) as connection:
            await connection.execute("SELECT 1")
        return {}
