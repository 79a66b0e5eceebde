"""The port to the cache: keys and JSON values in, values or `ABSENT` out; gateway and workers read through it (`cached.py`).

Nothing in it is a fact: it may forget anything at any time. Adapters stand beside this file and pass one suite,
`tests/conformance/cache.py`.

A value that was fetched before an invalidation and is written after it would be stale for its whole life. So who fetches for the cache
takes a lease first and fills the key under it; whatever changes the key ends its lease, and a fill without a lease does nothing.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pydantic import JsonValue

from infra.errors import DataError, TransientError

DEFAULT_TTL_SECONDS: Final = 3_600


class Absent(enum.Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final[Literal[Absent.ABSENT]] = Absent.ABSENT
"""What `get` answers where there is nothing; None, 0, False and the empty values are values."""


class CacheBehind(TransientError):
    """Invalidations that were missed are not made up for yet, and the call was not made."""

    def __init__(self) -> None:
        super().__init__("the cache has missed invalidations and is not used until they are made up for: see that Redis works")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill one key, until it is filled, changed or invalidated, or the lease's time is over."""

    key: str
    token: str


class Cache(Protocol):
    """Values of at most their time to live, in whole seconds from 1 on (else ValueError).

    Every method raises TransientError when the store cannot be reached, ConfigurationError when it refuses us. Patterns are those of
    Redis: `*`, `?`, `[a-c]`, `[^a]`, and a backslash before what is meant as it stands; they match the whole key.
    """

    async def get(self, key: str) -> JsonValue | Absent:
        """The value, or ABSENT where there is none, or none that can be read."""
        ...

    async def set(self, key: str, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> None:
        """Keep the value and end the key's lease. Raises DataError for what is not JSON, NaN and infinities included."""
        ...

    async def delete(self, key: str) -> bool:
        """Forget the value and end the key's lease; answers whether there was a value."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether there is a value."""
        ...

    async def invalidate(self, pattern: str) -> int:
        """Forget every value whose key matches and end the leases of such keys; answers how many values went.

        What was there when it began is gone when it returns; what is written meanwhile may stay, yet never under a lease from before.
        """
        ...

    async def lease(self, key: str, seconds: float) -> Lease | None:
        """The right to fill the key, for so long; None while somebody else has it. It does not look whether there is a value."""
        ...

    async def fill(self, lease: Lease, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> bool:
        """Keep the value if the lease still holds, and end it; answers whether it held. Raises DataError as `set`."""
        ...

    async def release(self, lease: Lease) -> None:
        """End the lease, if it still holds, without a value."""
        ...


def encoded(value: JsonValue) -> str:
    """The value as JSON text; raises DataError for what is not JSON."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"value: only JSON can be cached, not this {type(value).__name__}: {error}") from None


def check_ttl(ttl_seconds: int) -> int:
    """The time to live; raises ValueError when it is no whole number of seconds from 1 on."""
    if type(ttl_seconds) is not int or ttl_seconds < 1:
        raise ValueError(f"ttl_seconds: should be a whole number of seconds, 1 or more, not {ttl_seconds!r}")
    return ttl_seconds
