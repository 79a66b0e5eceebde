"""Statements of a traced pool on a real server: what they answer is what an untraced pool answers, and their spans say what was done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from infra.errors import DataError
from infra.postgres.pool import Database
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.settings import MeshSettings, load_settings
from infra.telemetry.tracing import Tracing

pytestmark = pytest.mark.integration

TYPED = b"-- What is asked for.\nSELECT %(n)s::bigint, %(t)s::text, %(l)s::bigint[], 1.5::float8, now()"
VALUES: dict[str, Any] = {"n": 7, "t": "secret", "l": [1, 2, 3]}
INSERT = b"INSERT INTO noted VALUES (%(id)s::bigint)"


class Traced:
    """A pool whose statements have spans, and those that have ended."""

    def __init__(self, dsn: str) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing.to_exporter(self.exporter)
        settings = load_settings(database_url=dsn, pool_min_size=1, pool_max_size=1)
        self.pool = Database(settings, dsn, spans=self.tracing.provider)

    def spans(self) -> list[Any]:
        self.tracing.shutdown(5)
        return [span for span in self.exporter.get_finished_spans() if span.name != "work"]


@pytest.fixture
async def traced(database: str) -> AsyncIterator[Traced]:
    found = Traced(database)
    await found.pool.open()
    await found.pool.execute(b"CREATE TABLE noted (id bigint PRIMARY KEY)", {})
    yield found
    await found.pool.close()
    found.tracing.shutdown(5)


async def test_a_statement_has_a_span_without_its_parameters_and_its_binary_rows(traced: Traced, database: str) -> None:
    with traced.tracing.traced_operation("work") as work:
        for _ in range(7):  # psycopg prepares it meanwhile
            (row,) = await traced.pool.fetch(TYPED, VALUES)
    assert row[:4] == (7, "secret", [1, 2, 3], 1.5)
    spans = traced.spans()
    assert [span.name for span in spans] == ["SELECT"] * 7
    assert {span.parent.span_id for span in spans} == {work.get_span_context().span_id}
    attributes = dict(spans[0].attributes)
    assert attributes.pop("db.query.text") == TYPED.decode()
    assert "secret" not in str(attributes)
    parts = urlsplit(database)
    assert (attributes["db.system.name"], attributes["db.operation.name"]) == ("postgresql", "SELECT")
    assert (attributes["db.namespace"], attributes["server.port"]) == (parts.path[1:], parts.port)


async def test_a_pipeline_has_one_span_of_its_round_trip_and_answers_as_before(traced: Traced) -> None:
    with traced.tracing.traced_operation("work"):
        rows = await traced.pool.fetch_after((b"SELECT set_config('agentmesh.tenant_id', %(t)s, true)", {"t": "acme"}), TYPED, VALUES)
        await traced.pool.execute_together([(INSERT, {"id": 1}), (INSERT, {"id": 2}), (INSERT, {"id": 3})])
    assert rows[0][:3] == (7, "secret", [1, 2, 3])
    assert await traced.pool.fetch_one(b"SELECT count(*) FROM noted", {}) == (3,)
    spans = traced.spans()
    assert [(span.name, span.attributes["db.operation.batch.size"]) for span in spans] == [("BATCH", 2), ("BATCH", 3)]


async def test_what_fails_in_a_pipeline_is_rolled_back_whole_and_its_span_says_so(traced: Traced) -> None:
    with traced.tracing.traced_operation("work"):
        with pytest.raises(DataError):
            await traced.pool.execute_together([(INSERT, {"id": 1}), (INSERT, {"id": 1})])
        with pytest.raises(DataError):
            await traced.pool.fetch(b"SELECT 1 / %(n)s::bigint", {"n": 0})
    assert await traced.pool.fetch_one(b"SELECT count(*) FROM noted", {}) == (0,)
    spans = traced.spans()
    assert [(span.name, span.status.status_code) for span in spans] == [("BATCH", StatusCode.ERROR), ("SELECT", StatusCode.ERROR)]
    assert spans[0].attributes["error.type"] == "UniqueViolation"


async def test_a_worker_that_looks_by_itself_makes_no_spans(traced: Traced) -> None:
    await traced.pool.fetch(TYPED, VALUES)
    await traced.pool.execute_together([(INSERT, {"id": 1})])
    assert traced.spans() == []


async def test_calls_to_redis_have_spans_without_their_values(mesh_settings: MeshSettings) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing.to_exporter(exporter)
    pool = RedisPool(mesh_settings.redis_dsn, RedisPoolSettings(), tracing.provider)
    assert await pool.start(), "the ping at the start is nobody's call"
    key = mesh_settings.topic_prefix + "secret"
    with tracing.traced_operation("work"):
        await pool.client.set(key, "secret", ex=10)
        async with pool.client.pipeline() as pipeline:
            pipeline.get(key)
            pipeline.delete(key)
            assert await pipeline.execute() == ["secret", 1]
    assert await pool.client.get(key) is None
    await pool.close()
    tracing.shutdown(5)
    spans = [span for span in exporter.get_finished_spans() if span.name != "work"]
    assert [span.name for span in spans] == ["SET", "GET DEL"]
    assert {span.attributes["db.system.name"] for span in spans} == {"redis"}
    assert spans[0].attributes["db.query.text"] == "SET ? ? ? ?"
    assert "secret" not in str([dict(span.attributes) for span in spans])
