"""Partial outputs over a real Redis: heard by who listens to the subject and by nobody else; lost without harm when nobody does."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from infra.partial_outputs.base import Piece, Topic
from infra.partial_outputs.redis import MOST_WAITING, RedisHeardPieces, RedisPartialOutputs
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.settings import MeshSettings

pytestmark = pytest.mark.integration
TENANT = "test-tenant"


def piece(number: int, *, tenant: str = TENANT, subject: str = "req-1") -> Piece:
    topic = Topic(tenant_id=tenant, subject_id=subject, task_id="task-1", attempt=1)
    return Piece(topic=topic, operation="answer", number=number, text=f"part {number}")


async def test_pieces_are_heard_in_order_by_who_listens_to_their_subject(mesh_settings: MeshSettings) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    telling = RedisPartialOutputs(RedisPool(mesh_settings.redis_dsn, RedisPoolSettings()), prefix)
    pool = RedisPool(mesh_settings.redis_dsn, RedisPoolSettings())
    assert await pool.start()
    heard = RedisHeardPieces(lambda: pool.client, prefix)
    async with heard.listen(TENANT, "req-1") as pieces:
        for number in range(1, 6):
            telling.tell(piece(number))
            telling.tell(piece(number, tenant="other"))
            telling.tell(piece(number, subject="req-2"))
        async with asyncio.timeout(20):
            found = [await anext(pieces) for _ in range(5)]
    assert found == [piece(number) for number in range(1, 6)]
    await telling.close()
    await pool.close()


async def test_a_redis_that_is_away_costs_the_pieces_and_nothing_else() -> None:
    telling = RedisPartialOutputs(RedisPool("redis://127.0.0.1:9/0", RedisPoolSettings()), "t.")
    for number in range(MOST_WAITING + 10):
        telling.tell(piece(number))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        await telling.close()
