"""Asks a Redis whether it answers and lets us in, and explains why not; run by `agentmesh doctor`."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.diagnosis.base import Fault, explain_connection, try_place

SECONDS = 3.0
DEFAULT_PORT = 6379
SERVER = "Redis (agentmesh up starts a local one)"


async def ask_redis(url: str, seconds: float = SECONDS) -> str | Fault:
    """The server's version, or why it cannot be used. Never raises for what a server or a network does."""
    place = place_of(url)
    client = Redis.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds, retry=Retry(NoBackoff(), 0))
    try:
        async with asyncio.timeout(seconds):
            return str((await client.info("server")).get("redis_version", "of an unknown version"))
    except (exceptions.RedisError, OSError) as error:
        # The client keeps to itself why it has no connection.
        unreached = None if url.startswith("unix:") else await try_place(place, SERVER, seconds)
        return unreached or explain(error, place)
    finally:
        await client.aclose()


def explain(error: BaseException, place: str) -> Fault:
    """What the client raised, as a fault."""
    text = str(error)
    if isinstance(error, exceptions.AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        missing = "required" in text.lower()
        found = f"{place} wants a password" if missing else f"{place} does not take the password"
        return Fault("wrong password", found, "set the right one in REDIS_URL: redis://:PASSWORD@HOST:PORT/0")
    if isinstance(error, exceptions.NoPermissionError):
        return Fault("not permitted", f"the user of REDIS_URL may not do what the mesh needs at {place}", "ACL SETUSER there")
    if isinstance(error, exceptions.BusyLoadingError):
        return Fault("not ready", f"{place} reads its data just now", "wait, then ask again")
    if isinstance(error, exceptions.InvalidResponse):
        return Fault("no redis", f"what listens at {place} is no Redis", "check the port in REDIS_URL")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return explain_connection(TimeoutError(), place, SERVER)
    return Fault("not reached", f"{place} ends the connection: {type(error).__name__}", "see the log of that Redis")


def place_of(url: str) -> str:
    """Where a URL leads, without what is secret in it."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or DEFAULT_PORT}"
