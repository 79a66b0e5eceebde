"""The pool of Redis connections: its limits, its log, its start without a Redis."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from infra.cache.redis import RedisCache
from infra.errors import ConfigurationError, TransientError
from infra.local_stack.redis import RedisServer
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings

pytestmark = pytest.mark.integration


@pytest.fixture
async def password(mortal: RedisServer) -> AsyncIterator[str]:
    """A password that the server asks for, for the time of one test."""
    secret = "correct-horse"
    async with Redis.from_url(mortal.endpoint()) as admin:
        await admin.config_set("requirepass", secret)
    yield secret
    async with Redis.from_url(mortal.endpoint(), password=secret) as admin:
        await admin.config_set("requirepass", "")


async def test_the_pool_has_the_limits_of_the_requirement_and_logs_them(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="infra.redis.pool")
    pool = RedisPool(redis_url, RedisPoolSettings())
    assert await pool.start() is True
    connections = pool.client.connection_pool
    given = connections.connection_kwargs
    assert connections.max_connections == 50
    assert given["decode_responses"] is True
    assert given["socket_keepalive"] is True
    assert given["socket_connect_timeout"] == 5
    assert given["health_check_interval"] == 30
    assert await pool.client.echo("ä") == "ä"
    await pool.close()
    await pool.close()
    opened, closed = (record.message for record in caplog.records)
    assert "50 connections" in opened
    assert "connect 5s, health check every 30s, keep-alive on" in opened
    assert closed == "redis pool closed"


async def test_more_callers_than_connections_wait_for_one(client: Redis, redis_url: str, namespace: str) -> None:
    before = {each["id"] for each in await client.client_list()}
    pool = RedisPool(redis_url, RedisPoolSettings(max_connections=3))
    await pool.start()
    try:
        cache = RedisCache(pool.client, namespace)
        await asyncio.gather(*(cache.set(str(number), number, 60) for number in range(200)))
        assert await asyncio.gather(*(cache.get(str(number)) for number in range(200))) == list(range(200))
        assert len({each["id"] for each in await client.client_list()} - before) == 3
    finally:
        await pool.close()
    deadline = time.monotonic() + 10
    while {each["id"] for each in await client.client_list()} - before:
        assert time.monotonic() < deadline, "connections of a closed pool are open"
        await asyncio.sleep(0.02)


async def test_a_pool_tells_who_uses_it_and_who_waits(redis_url: str, namespace: str) -> None:
    pool = RedisPool(redis_url, RedisPoolSettings(max_connections=2))
    assert pool.connections() == {"used": 0, "idle": 0, "waiting": 0}
    await pool.start()
    assert pool.connections() == {"used": 0, "idle": 1, "waiting": 0}
    key = f"{namespace}queue"
    taking = [asyncio.create_task(pool.client.blpop([key], 20)) for _ in range(5)]  # type: ignore[arg-type]
    deadline = time.monotonic() + 10
    while pool.connections() != {"used": 2, "idle": 0, "waiting": 3}:
        assert time.monotonic() < deadline, pool.connections()
        await asyncio.sleep(0.01)
    async with Redis.from_url(redis_url) as other:
        await other.rpush(key, *"abcde")  # type: ignore[misc]
    await asyncio.gather(*taking)
    assert pool.connections() == {"used": 0, "idle": 2, "waiting": 0}
    await pool.close()
    assert pool.connections() == {"used": 0, "idle": 0, "waiting": 0}


async def test_a_pool_that_is_not_open_says_so(redis_url: str) -> None:
    pool = RedisPool(redis_url, RedisPoolSettings())
    with pytest.raises(ConfigurationError, match=r"used before it was opened or after it was closed: call start\(\) first"):
        _ = pool.client
    await pool.start()
    await pool.close()
    with pytest.raises(ConfigurationError, match="after it was closed"):
        _ = pool.client


async def test_a_start_without_a_redis_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        pool = RedisPool(f"redis://user:secret@127.0.0.1:{unused.getsockname()[1]}/0", RedisPoolSettings())
        assert await pool.start() is False
        with pytest.raises(TransientError, match="Redis: ConnectionError"):
            await RedisCache(pool.client).get("a")
    assert "the worker goes on without it" in caplog.text
    assert "secret" not in caplog.text
    await pool.close()


async def test_a_wrong_password_is_told_apart_and_never_shown(mortal: RedisServer, password: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for user_info in ("", ":wrong-battery@"):
        pool = RedisPool(mortal.endpoint().replace("://", f"://{user_info}"), RedisPoolSettings())
        assert await pool.start() is False
        with pytest.raises(ConfigurationError, match="Redis refuses this user or a command of it: check REDIS_URL"):
            await RedisCache(pool.client).get("a")
        await pool.close()
    assert "wrong-battery" not in caplog.text
    assert password not in caplog.text


async def test_a_unix_socket_needs_no_keep_alive() -> None:
    pool = RedisPool("unix:///nowhere/redis.sock", RedisPoolSettings())
    assert await pool.start() is False
    await pool.close()
