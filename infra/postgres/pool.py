"""Builds the connection pool of one worker from its settings; opened when the worker starts and closed when it stops."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span, TracerProvider
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from infra.errors import ConfigurationError
from infra.postgres.arrays import register_columns
from infra.postgres.errors import translated
from infra.settings import MeshSettings
from infra.telemetry import names
from infra.telemetry.spans import NO_SPAN, SpanBlock

if TYPE_CHECKING:
    from infra.postgres.statement_spans import StatementSpans

logger = logging.getLogger(__name__)

Statement = tuple[bytes, Mapping[str, Any]]

# force_generic_plan: the statements take arrays as parameters; a custom plan would be made anew for each batch and could choose to
# scan a table that is still small but will not stay so.
SESSION_OPTIONS = "-c jit=off -c plan_cache_mode=force_generic_plan"

# Who waits for a connection while the database is away is served within about this time of its return.
ASK_AGAIN_SECONDS = 2.0

# A commit then does not wait for the disk. After a crash of the server the last transactions may be gone, whole and in order: only for
# what is made again from the log by itself.
NOT_DURABLE = " -c synchronous_commit=off"


class CountingConnection(AsyncConnection[TupleRow]):
    """A connection that knows how many statements it has run, so that the pool can replace it by count (psycopg's pool only knows age)."""

    statements: int = 0


def _session_options(settings: MeshSettings, durable: bool) -> str:
    limit = f" -c statement_timeout={int(settings.pool_command_timeout_seconds * 1000)}"
    return SESSION_OPTIONS + limit + ("" if durable else NOT_DURABLE)


def _statement_spans(provider: TracerProvider) -> StatementSpans:
    from infra.postgres.statement_spans import StatementSpans  # the instrumentation is only loaded where it is used

    return StatementSpans(provider)


class Database:
    """A worker's pool. Connections are handed out by `connection`, whose errors come out as the errors of `infra.errors`.

    Limits are those of PER-03. A connection is replaced after `pool_max_queries` statements or an hour, whichever is first.
    `session` are further options of each session, as `-c name=value`; `spans`, where tracing is on, are made of its statements.
    """

    def __init__(
        self,
        settings: MeshSettings,
        dsn: str,
        name: str = "agentmesh",
        *,
        durable: bool = True,
        session: str = "",
        spans: TracerProvider | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._opened = False
        self._max_queries = settings.pool_max_queries
        self._spans = None if spans is None else _statement_spans(spans)
        self.pool: AsyncConnectionPool[CountingConnection] = AsyncConnectionPool(
            dsn,
            connection_class=CountingConnection,
            min_size=settings.pool_min_size,
            max_size=settings.pool_max_size,
            timeout=settings.pool_acquire_timeout_seconds,
            max_idle=settings.pool_idle_seconds,
            max_lifetime=3600,
            max_waiting=settings.pool_max_size * 50,
            reconnect_timeout=2,
            open=False,
            name=name,
            kwargs={
                "autocommit": True,
                "application_name": "agentmesh",
                "options": f"{_session_options(settings, durable)} {session}".rstrip(),
                "connect_timeout": 10,
                "keepalives_idle": 30,
                "tcp_user_timeout": int(settings.pool_command_timeout_seconds * 1000),
            },
            configure=self._configure,
            reset=self._reset,
        )

    async def _configure(self, connection: CountingConnection) -> None:
        register_columns(connection.adapters)
        if self._spans is not None:
            self._spans.watch(connection)

    def _batch(self) -> SpanBlock:
        return NO_SPAN if self._spans is None else self._spans.batch()

    async def _reset(self, connection: CountingConnection) -> None:
        if connection.statements > self._max_queries:
            await connection.close()

    async def open(self) -> None:
        """Open the pool; does not wait for the database, which may be away."""
        await self.pool.open(wait=False)
        self._opened = True
        logger.info(
            "database pool %s opened: %d to %d connections, acquire %gs, statement %gs, idle %gs, replaced after %d statements",
            self._name,
            self._settings.pool_min_size,
            self._settings.pool_max_size,
            self._settings.pool_acquire_timeout_seconds,
            self._settings.pool_command_timeout_seconds,
            self._settings.pool_idle_seconds,
            self._max_queries,
        )

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        if self._opened:
            self._opened = False
            await self.pool.close(timeout=5)
            logger.info("database pool %s closed", self._name)

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[CountingConnection]:
        """A connection in autocommit mode for the block; raises TransientError, DataError or ConfigurationError of `infra`."""
        if not self._opened:
            raise ConfigurationError(f"The database pool {self._name!r} is used before it was opened: call open() first.")
        with translated():
            async with AsyncExitStack() as stack:
                connection = await self._enter(stack, self._settings.pool_acquire_timeout_seconds if timeout is None else timeout)
                connection.statements += 1
                yield connection

    async def _enter(self, stack: AsyncExitStack, timeout: float) -> CountingConnection:
        """Wait for a connection, and ask anew from time to time: after `reconnect_timeout` the pool connects no more until it is asked."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return await stack.enter_async_context(self.pool.connection(timeout=min(left, ASK_AGAIN_SECONDS)))
            except PoolTimeout:
                if left <= ASK_AGAIN_SECONDS:
                    raise PoolTimeout(f"no connection within {timeout:g} s") from None

    async def fetch(self, query: bytes, parameters: Mapping[str, Any], timeout: float | None = None) -> list[TupleRow]:
        """All rows of one prepared statement, binary both ways; `timeout` (seconds) bounds the wait for a connection, by default the
        pool's (30)."""
        async with self.connection(timeout=timeout) as connection:
            cursor = await connection.execute(query, parameters, prepare=True, binary=True)
            return await cursor.fetchall()

    async def fetch_one(self, query: bytes, parameters: Mapping[str, Any], timeout: float | None = None) -> TupleRow | None:
        """The first row of one statement, or None."""
        rows = await self.fetch(query, parameters, timeout)
        return rows[0] if rows else None

    async def fetch_after(
        self, first: Statement, query: bytes, parameters: Mapping[str, Any], timeout: float | None = None
    ) -> list[TupleRow]:
        """All rows of a statement that follows on `first` in one transaction and one round trip: what `first` sets LOCAL holds for it,
        and is gone afterwards. The transaction is the implicit one of a pipeline, as in `execute_together`."""
        async with self.connection(timeout=timeout) as connection:
            with self._batch() as span:
                span.set_attribute(names.DB_OPERATION_BATCH_SIZE, 2)
                async with connection.pipeline():
                    await connection.execute(first[0], first[1], prepare=True, binary=True)
                    cursor = await connection.execute(query, parameters, prepare=True, binary=True)
            return await cursor.fetchall()

    async def execute_together(self, statements: Iterable[Statement]) -> None:
        """Run prepared statements as one transaction in one round trip.

        The transaction is the implicit one of a pipeline: no BEGIN and COMMIT go back and forth, the Sync at its end commits. So whatever
        breaks off in between must not reach that Sync: the connection is closed, and the server rolls back.
        """
        async with self.connection() as connection:
            with self._batch() as span:
                async with connection.pipeline():
                    await self._all_of(statements, connection, span)

    @staticmethod
    async def _all_of(statements: Iterable[Statement], connection: CountingConnection, span: Span) -> None:
        count = 0
        try:
            for query, parameters in statements:
                await connection.execute(query, parameters, prepare=True, binary=True)
                count += 1
        except BaseException:
            connection.pgconn.finish()
            raise
        span.set_attribute(names.DB_OPERATION_BATCH_SIZE, count)

    async def execute(self, query: bytes, parameters: Mapping[str, Any], timeout: float | None = None) -> int:
        """Run one statement; answers the number of rows it touched."""
        async with self.connection(timeout=timeout) as connection:
            cursor = await connection.execute(query, parameters, prepare=True)
            return cursor.rowcount

    def connections(self) -> dict[str, int]:
        """Connections by state (`used`, `idle`) and callers `waiting` for one, for the metrics."""
        stats = self.pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return {"used": size - idle, "idle": idle, "waiting": stats.get("requests_waiting", 0)}
