"""Reads through the cache: a key and a way to fetch in, the value out; used by the gateway's reads and by workers.

A value is read from the cache, else fetched and kept (cache-aside). Readers of one key in this process share one read under way; of
several processes one holds a lease and fetches, while the others wait for it a little and then fetch for themselves. A failure of the
cache is a warning, and the reader gets his answer all the same (CAC-09).

A value may be as old as its time to live and, under way, as one fetch. Who must see his own change asks the read model, not the cache.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar, cast

from pydantic import JsonValue, TypeAdapter

from infra.cache.base import ABSENT, Absent, Cache, CacheBehind, Lease
from infra.cache.globs import matches
from infra.cache.invalidation import Invalidation
from infra.cache.keys import DECORATED_SECONDS, cache_key, digest, kind_of
from infra.cache.settings import CacheSettings
from infra.errors import CircuitOpen, DataError, MeshError
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")


class Unreached(enum.Enum):
    """The type of `UNREACHED`."""

    UNREACHED = "unreached"


UNREACHED: Final[Literal[Unreached.UNREACHED]] = Unreached.UNREACHED


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How a value becomes JSON, and comes back as it was."""

    dump: Callable[[T], JsonValue]
    load: Callable[[JsonValue], T]


# A function that answers JSON needs none.
AS_IT_IS: Final[Codec[Any]] = Codec(dump=lambda value: value, load=lambda value: value)


def codec_of(shape: type[T]) -> Codec[T]:
    """The codec of a pydantic model, a dataclass or another type that pydantic reads."""
    adapter = TypeAdapter(shape)
    return Codec(dump=lambda value: adapter.dump_python(value, mode="json"), load=adapter.validate_python)


class CacheAside:
    """Reads through one cache, for any number of tasks of one event loop.

    What a reader gets may be shared with others that read at the same moment: nobody changes it.
    """

    def __init__(
        self,
        cache: Cache,
        metrics: Metrics,
        settings: CacheSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cache = cache
        self._hits = metrics.cache_hits_total
        self._misses = metrics.cache_misses_total
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._under_way: dict[str, asyncio.Task[tuple[Any, bool]]] = {}

    async def read_through(
        self,
        key: str,
        fetch: Callable[[], Awaitable[T | None]],
        *,
        ttl_seconds: int,
        codec: Codec[T] = AS_IT_IS,
        cache_type: str = "",
    ) -> T | None:
        """The cached value, else what `fetch` answers, which is kept for `ttl_seconds`; None, an absent thing, is not kept (CAC-11).

        Raises what `fetch` raises, for every reader that shared it. `cache_type` labels hits and misses, by default with the key's kind.
        """
        label = cache_type or kind_of(key)
        reading = self._under_way.get(key)
        if reading is None:
            reading = asyncio.create_task(self._read(key, fetch, ttl_seconds, codec), name=f"cache-read-{label}")
            self._under_way[key] = reading
            reading.add_done_callback(functools.partial(self._landed, key))
        try:
            value, hit = await asyncio.shield(reading)  # one reader's cancellation ends nobody else's read
        except Exception:
            self._misses.labels(label).inc()
            raise
        (self._hits if hit else self._misses).labels(label).inc()
        logger.debug("cache %s for %s", "hit" if hit else "miss", label)
        return cast("T | None", value)

    async def invalidate(self, going: Invalidation) -> int:
        """Forget these keys and patterns; answers how many values went. Whoever reads afterwards joins no read from before.

        A failure is a warning: the cache remembers what it could not do (`GuardedCache`).
        """
        gone = 0
        try:
            for key in going.keys:
                gone += await self._tried(self._cache.delete(key), 0)
            for pattern in going.patterns:
                number = await self._tried(self._cache.invalidate(pattern), None)
                if number is not None:
                    logger.info("cache: %d keys went by %s", number, pattern)
                    gone += number
        finally:
            self._forget_reads(going)
        return gone

    def _forget_reads(self, going: Invalidation) -> None:
        for key in [each for each in self._under_way if each in going.keys or any(matches(one, each) for one in going.patterns)]:
            del self._under_way[key]

    def _landed(self, key: str, reading: asyncio.Task[tuple[Any, bool]]) -> None:
        if self._under_way.get(key) is reading:
            del self._under_way[key]
        if not reading.cancelled():
            reading.exception()  # seen, also when every reader was cancelled

    async def _read(self, key: str, fetch: Callable[[], Awaitable[T | None]], ttl_seconds: int, codec: Codec[T]) -> tuple[T | None, bool]:
        """The value, and whether the cache had it. While another process fetches, look again and again, then fetch without keeping."""
        deadline = self._clock() + self._settings.wait_seconds
        while True:
            found = await self._found(key, codec)
            if found is UNREACHED:
                return await fetch(), False
            if found is not ABSENT:
                return found, True
            lease = await self._tried(self._cache.lease(key, self._settings.lease_seconds), UNREACHED)
            if lease is not UNREACHED and lease is not None:
                return await self._fetch_under(lease, fetch, ttl_seconds, codec)
            if lease is UNREACHED or self._clock() >= deadline:
                return await fetch(), False
            await self._sleep(self._settings.poll_seconds)

    async def _fetch_under(
        self, lease: Lease, fetch: Callable[[], Awaitable[T | None]], ttl_seconds: int, codec: Codec[T]
    ) -> tuple[T | None, bool]:
        """Fetch and keep, unless the one before us has done so since we looked; whatever comes of it, nobody waits for the lease longer."""
        kept = False
        try:
            found = await self._found(lease.key, codec)
            if found is not ABSENT and found is not UNREACHED:
                return found, True
            value = await fetch()
            if value is not None:
                kept = await self._tried(self._fill(lease, value, ttl_seconds, codec), False)
            return value, False
        finally:
            if not kept:
                await self._tried(self._cache.release(lease), None)

    async def _fill(self, lease: Lease, value: T, ttl_seconds: int, codec: Codec[T]) -> bool:
        try:
            dumped = codec.dump(value)
        except (ValueError, TypeError) as error:
            raise DataError(f"value: the codec cannot turn a {type(value).__name__} into JSON: {error}") from error
        return await self._cache.fill(lease, dumped, ttl_seconds)

    async def _found(self, key: str, codec: Codec[T]) -> T | Absent | Unreached:
        """The value as it was; one of another shape, from before an upgrade, counts as absent and is overwritten."""
        found = await self._tried(self._cache.get(key), UNREACHED)
        if found is UNREACHED or found is ABSENT:
            return found
        try:
            return codec.load(found)
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("the cache holds another shape than expected under a key of kind %s: %s", kind_of(key), type(error).__name__)
            return ABSENT

    async def _tried(self, call: Awaitable[T], otherwise: D) -> T | D:
        """What the cache answers, `otherwise` where it fails. A call that was not made at all has been warned of before."""
        try:
            return await call
        except (CircuitOpen, CacheBehind) as error:
            logger.debug("cache: %s", error)
        except MeshError as error:
            logger.warning("cache: %s", error)
        return otherwise


def cached(
    aside: CacheAside | Callable[[Any], CacheAside],
    *,
    tenant: str,
    ttl_seconds: int = DECORATED_SECONDS,
    prefix: str = "",
    key: Callable[..., str] | None = None,
    codec: Codec[Any] = AS_IT_IS,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Read an async function through the cache (CAC-07), under `<prefix>:<tenant>:<digest of its arguments>`.

    `tenant` names the parameter that holds the tenant's id. `prefix` is by default `cache:<module>.<function>`. `key` takes the same
    arguments as the function and answers the key's rest, in place of the digest; a method needs one, for `self` is no stable key, and
    gives as `aside` a function of `self`. Raises TypeError for a function that does not fit. A call whose arguments have no key, for
    they have no canonical JSON or its tenant id is none, is a warning and is not cached.
    """

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        signature = inspect.signature(function)
        kind = prefix or f"cache:{function.__module__}.{function.__qualname__}"
        is_method = next(iter(signature.parameters), "") in ("self", "cls")
        _check_function(function, signature, tenant, is_method and key is None)
        if not (is_method or isinstance(aside, CacheAside)):
            raise TypeError(f"{function.__qualname__} is no method, so its aside cannot be a function of self")

        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                full_key = _key_of_call(signature, kind, tenant, key, args, kwargs)
            except DataError as error:
                logger.warning("cache: a call of %s is not cached: %s", kind, error)
                return await function(*args, **kwargs)
            through = aside if isinstance(aside, CacheAside) else aside(args[0])
            fetch = functools.partial(function, *args, **kwargs)
            return cast(T, await through.read_through(full_key, fetch, ttl_seconds=ttl_seconds, codec=codec, cache_type=kind))

        return wrapper

    return decorate


def _check_function(function: Callable[..., object], signature: inspect.Signature, tenant: str, lacks_key: bool) -> None:
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__qualname__}: only an async function can be cached")
    if tenant not in signature.parameters:
        raise TypeError(f"{function.__qualname__} has no parameter {tenant!r} that holds the tenant's id")
    if lacks_key:
        raise TypeError(f"{function.__qualname__} is a method, and self is no stable key: give a key builder")


def _key_of_call(
    signature: inspect.Signature,
    kind: str,
    tenant: str,
    key: Callable[..., str] | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> str:
    """The key of one call, however its arguments were given. Raises TypeError as the call itself would, DataError for no key."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    tenant_id = arguments.pop(tenant)
    if not isinstance(tenant_id, str):
        raise DataError(f"{tenant}: should be the tenant's id, not a {type(tenant_id).__name__}")
    return cache_key(kind, tenant_id, digest(arguments) if key is None else key(*args, **kwargs))
