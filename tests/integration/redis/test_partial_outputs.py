"""Partial outputs over a real Redis: heard by who listens to the subject and by nobody else; lost without harm when nobody does."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from infra.errors import TransientError
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


async def test_a_redis_that_is_away_costs_the_pieces_and_nothing_else() -> None:
    telling = RedisPartialOutputs(RedisPool("redis://127.0.0.1:9/0", RedisPoolSettings()), "t.")
    for number in range(MOST_WAITING + 10):
        telling.tell(piece(number))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        await telling.close()


async def test_who_listens_while_redis_is_away_is_told_so() -> None:
    heard = RedisHeardPieces(RedisPool("redis://127.0.0.1:9/0", RedisPoolSettings()), "t.")
    with pytest.raises(TransientError):
        async with heard.listen(TENANT, "req-1"):
            raise AssertionError("nobody is there to listen to")
    await heard.close()
