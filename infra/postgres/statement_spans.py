"""Makes spans of the statements of a pool by the psycopg instrumentation, and of its own where that cannot follow; used by the pool.

In a pipeline `execute` returns before the statement has gone, so the library would time nothing: a pipeline has one span, of its round
trip.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.psycopg import CursorTracer, DatabaseApiAsyncIntegration
from opentelemetry.trace import Span, SpanKind
from psycopg import AsyncConnection, AsyncCursor
from psycopg.pq import PipelineStatus
from psycopg.rows import TupleRow

from infra.telemetry import names
from infra.telemetry.libraries import ask_for_stable_names
from infra.telemetry.spans import NO_SPAN, RunningSpan, SpanBlock

CONNECTION_ATTRIBUTES = {"database": "info.dbname", "port": "info.port", "host": "info.host"}


class StatementSpans:
    """Spans of one pool's statements, below running spans only. Of a statement its text is told, never its parameters."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        ask_for_stable_names()
        self._tracer = provider.get_tracer("agentmesh")
        self._integration = DatabaseApiAsyncIntegration(
            "opentelemetry.instrumentation.psycopg",
            names.DB_SYSTEM_POSTGRESQL,
            connection_attributes=CONNECTION_ATTRIBUTES,
            tracer_provider=provider,
        )
        self._cursors = _cursors(_StatementTracer(self._integration))

    def watch(self, connection: AsyncConnection[TupleRow]) -> None:
        """Make spans of what this connection runs."""
        self._integration.get_connection_attributes(connection)
        connection.cursor_factory = self._cursors

    def batch(self) -> SpanBlock:
        """A span around a pipeline."""
        if not trace.get_current_span().is_recording():
            return NO_SPAN
        known = {
            names.DB_SYSTEM_NAME: names.DB_SYSTEM_POSTGRESQL,
            names.DB_NAMESPACE: self._integration.database,
            names.DB_OPERATION_NAME: names.DB_BATCH,
        }
        return RunningSpan(self._tracer.start_span(names.DB_BATCH, kind=SpanKind.CLIENT, attributes=known))


class _StatementTracer(CursorTracer):
    """The library's, which reads the operation out of a text only; our statements are bytes."""

    def get_operation_name(self, cursor: Any, args: Any) -> str:
        """The statement's first word, behind the comment that says what it is for."""
        lines = (line for line in self.get_statement(cursor, args).splitlines() if not line.startswith("--"))
        words = next((words for line in lines if (words := line.split(maxsplit=1))), ("",))
        return words[0].upper()

    def _populate_span(self, span: Span, cursor: Any, *args: Any) -> None:
        super()._populate_span(span, cursor, *args)
        span.set_attribute(names.DB_OPERATION_NAME, self.get_operation_name(cursor, args))


def _cursors(tracer: CursorTracer) -> type[AsyncCursor[TupleRow]]:
    class TracedCursor(AsyncCursor[TupleRow]):
        """A cursor whose statements have spans."""

        async def execute(self, *args: Any, **options: Any) -> TracedCursor:
            """As psycopg's."""
            if self.connection.pgconn.pipeline_status != PipelineStatus.OFF or not trace.get_current_span().is_recording():
                return await super().execute(*args, **options)
            await tracer.traced_execution_async(self, super().execute, *args, **options)
            return self

    return TracedCursor
