"""The port to rate limits: a caller's key and limit in, a decision out; the gateway asks it once for each request.

A caller has a bucket of tokens: full at first, one token taken by each request, refilled continuously at `requests` per window, never
above `requests` (SEC-21). Adapters stand beside this file and pass one suite, `tests/conformance/rate_limit.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

MAX_RETRY_AFTER_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests per window, and as many at once. Both are whole and 1 or more, else ValueError."""

    requests: int = 100
    window_seconds: int = 60

    def __post_init__(self) -> None:
        for name in ("requests", "window_seconds"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: should be a whole number, 1 or more, not {value!r}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one request."""

    allowed: bool
    limit: Limit
    remaining: int
    """Requests that would be allowed at once after this one."""
    reset_seconds: int
    """Whole seconds, rounded up, until the bucket is full again, if nothing more is taken."""
    retry_after_seconds: int
    """Of a refused request: whole seconds until a token is there, 1 to 60 (SEC-22). Of an allowed one 0."""


class RateLimiter(Protocol):
    """Buckets by key. A request that is refused takes nothing, and a bucket that is full again is forgotten."""

    async def take(self, key: str, limit: Limit) -> Decision:
        """Take one token from the key's bucket, at once and for good. Raises TransientError where the store cannot be reached.

        Another limit for the same key, after a tenant's setting changed, keeps the share of the bucket that was used.
        """
        ...


def decision(limit: Limit, *, allowed: bool, remaining: int, full_in: float, token_in: float) -> Decision:
    """The decision, its seconds made whole."""
    wait = 0 if allowed else min(MAX_RETRY_AFTER_SECONDS, max(1, math.ceil(token_in)))
    return Decision(allowed, limit, remaining if allowed else 0, math.ceil(full_in), wait)
