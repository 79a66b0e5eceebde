"""A Redis of these tests' own: they need neither Kafka nor Postgres, and some of them kill it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from infra.local_stack.redis import RedisServer
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.settings import load_settings
from tests.conformance.cache import Wait


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Redis of REDIS_URL, else one of our own."""
    settings = load_settings()
    if settings.redis_url is not None:
        yield settings.redis_dsn
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.endpoint()
    server.stop()


@pytest.fixture(scope="module")
def mortal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server to be killed, shared by the tests of a module."""
    server = RedisServer(tmp_path_factory.mktemp("mortal-redis"))
    yield server
    server.stop()


@pytest.fixture
def mortal(mortal_server: RedisServer) -> RedisServer:
    """The same, running."""
    mortal_server.start()
    return mortal_server


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    pool = RedisPool(redis_url, RedisPoolSettings())
    assert await pool.start()
    yield pool.client
    await pool.close()


@pytest.fixture
def namespace() -> str:
    """Keys of one test alone."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def wait() -> Wait:
    """Redis has its own clock: time must pass."""
    return asyncio.sleep
