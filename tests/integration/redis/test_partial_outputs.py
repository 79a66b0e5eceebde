"""Partial outputs over a real Redis: heard by who listens to the subject and by nobody else; lost without harm when nobody does."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from contracts.ids import AgentId, TaskId, TenantId
from contracts.requests.values import Priority
from infra.agents.base import Task
from infra.agents.outside import connected
from infra.agents.run import TenantMemory, context_of
from infra.effects.base import RunClaim
from infra.effects.memory import InMemoryEffectLedger
from infra.effects.once import HostEffects
from infra.errors import TransientError
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.memory import InMemoryKnowledgeBase
from infra.local_stack.redis import RedisServer
from infra.partial_outputs.base import Piece, Topic
from infra.partial_outputs.redis import MOST_WAITING, RedisHeardPieces, RedisPartialOutputs
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from tests.model_endpoint import model_endpoint, streamed
from tests.unit.infra.models.test_openai_compatible import GOOD, Triage

pytestmark = pytest.mark.integration
TENANT = "test-tenant"


def piece(number: int, *, tenant: str = TENANT, subject: str = "req-1") -> Piece:
    topic = Topic(tenant_id=tenant, subject_id=subject, task_id="task-1", attempt=1)
    return Piece(topic=topic, operation="answer", number=number, text=f"part {number}")


async def test_pieces_are_heard_in_order_by_who_listens_to_their_subject(mesh_settings: MeshSettings) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    telling = RedisPartialOutputs(RedisPool(mesh_settings.redis_dsn, RedisPoolSettings()), prefix)
    heard = RedisHeardPieces(RedisPool(mesh_settings.redis_dsn, RedisPoolSettings()), prefix)
    async with heard.listen(TENANT, "req-1") as pieces, heard.listen(TENANT, "req-1") as second, heard.listen(TENANT, "req-2") as others:
        for number in range(1, 6):
            telling.tell(piece(number))
            telling.tell(piece(number, tenant="other"))
            telling.tell(piece(number, subject="req-2"))
        async with asyncio.timeout(20):
            found = [await anext(pieces) for _ in range(5)]
            assert [await anext(second) for _ in range(5)] == found
            assert (await anext(others)).topic.subject_id == "req-2"
    assert found == [piece(number) for number in range(1, 6)]
    async with heard.listen(TENANT, "req-1") as pieces:  # anew, after nobody listened
        telling.tell(piece(1))
        async with asyncio.timeout(20):
            assert (await anext(pieces)).number == 1
    await telling.close()
    await heard.close()


async def test_a_redis_that_is_away_costs_the_pieces_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    telling = RedisPartialOutputs(RedisPool("redis://127.0.0.1:9/0", RedisPoolSettings()), "t.")
    for number in range(MOST_WAITING + 10):
        telling.tell(piece(number))  # beyond what may wait it neither waits nor raises
    assert telling._waiting.qsize() == MOST_WAITING
    async with asyncio.timeout(20):
        await telling._waiting.join()
        await telling.close()
    assert sum("partial outputs are lost" in record.message for record in caplog.records) == 1


async def test_who_listens_while_redis_is_away_is_told_so() -> None:
    heard = RedisHeardPieces(RedisPool("redis://127.0.0.1:9/0", RedisPoolSettings()), "t.")
    with pytest.raises(TransientError):
        async with heard.listen(TENANT, "req-1"):
            raise AssertionError("nobody is there to listen to")
    await heard.close()


async def test_where_redis_dies_the_pieces_end_and_who_comes_again_is_told_again(mortal: RedisServer) -> None:
    heard = RedisHeardPieces(RedisPool(mortal.endpoint(), RedisPoolSettings()), "t.")
    telling = RedisPartialOutputs(RedisPool(mortal.endpoint(), RedisPoolSettings()), "t.")
    async with asyncio.timeout(60):
        async with heard.listen(TENANT, "req-1") as pieces:
            telling.tell(piece(1))
            assert await anext(pieces) == piece(1)
            mortal.kill()
            assert [each async for each in pieces] == []
            with pytest.raises(TransientError):
                async with heard.listen(TENANT, "req-1"):
                    raise AssertionError("nobody is there to listen to")
            await asyncio.to_thread(mortal.start)
            async with heard.listen(TENANT, "req-1") as again:  # beside one who has not left yet
                telling.tell(piece(2))
                assert await anext(again) == piece(2)
    await telling.close()
    await heard.close()


async def test_what_a_model_says_in_a_run_is_heard_where_the_setting_says_so(mesh_settings: MeshSettings) -> None:
    """By the host's own wiring: settings to model and Redis, a run to whoever listens to its subject."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    task = Task(
        TaskId("task-1"), TenantId(TENANT), AgentId("agent-1"), "triage", "req-1", 2, Priority.MEDIUM,
        datetime.now(UTC) + timedelta(seconds=60), {},
    )  # fmt: skip
    effects = HostEffects(InMemoryEffectLedger()).of_run(RunClaim(TENANT, "task-1", 2, "host-1"))
    heard = RedisHeardPieces(RedisPool(mesh_settings.redis_dsn, RedisPoolSettings()), prefix)
    with model_endpoint() as endpoint:
        endpoint.then = streamed(GOOD, parts=4)
        changes = {"model_url": endpoint.url, "model_name": "gpt-4o-mini", "topic_prefix": prefix}
        outside = connected(mesh_settings.model_copy(update={**changes, "model_partial_output": True}), Telemetry.for_tests(), "triage")
        quiet = connected(mesh_settings.model_copy(update=changes), Telemetry.for_tests(), "triage")
        context = context_of(task, TenantMemory(InMemoryKnowledgeBase(LocalEmbedding()), TENANT), effects, outside=outside)
        async with heard.listen(TENANT, "req-1") as pieces:
            asked = await context.model.run("triage", instructions="Say.", prompt="My invoice is wrong", output_type=Triage)
            said = ""
            async with asyncio.timeout(20):
                while said != json.dumps(GOOD):
                    found = await anext(pieces)
                    said += found.text
                    assert (found.topic.task_id, found.topic.attempt, found.operation) == ("task-1", 2, "triage")
        assert asked.priority == GOOD["priority"]
        assert quiet.partial_outputs is None
        await outside.close()
        await quiet.close()
    await heard.close()
