"""When a call is made again: the attempt and its failure in, milliseconds to wait or the end out; used by the course of a call."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from agentmesh_client.errors import AgentMeshError, NotConnected, RateLimited, Unavailable

FIRST_MS = 100
BASE = 2
CAP_MS = 10_000
JITTER = 0.2


def delay_ms(attempt: int, jitter: bool = True, chance: Callable[[], float] = random.random) -> int:
    """Whole milliseconds after the failure of this attempt, the first being 1: doubled from 100 up to 10,000, then ±20 %."""
    found = min(CAP_MS, FIRST_MS * int(BASE ** min(attempt - 1, 20)))
    return round(found * (1 + JITTER * (2 * chance() - 1))) if jitter else found


@dataclass(frozen=True, slots=True)
class Retries:
    """`attempts` in all. A gateway that asks for a longer wait than `longest_seconds` is not waited for: its error is raised."""

    attempts: int = 3
    jitter: bool = True
    longest_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts: should be at least 1, is {self.attempts}")

    def pause(self, attempt: int, failure: AgentMeshError, repeatable: bool = True) -> float | None:
        """Seconds until the next attempt, or None where there is none."""
        kinds = (RateLimited, Unavailable, NotConnected) if repeatable else (RateLimited,)
        if attempt >= self.attempts or not isinstance(failure, kinds):
            return None
        asked = failure.retry_after or 0.0
        return None if asked > self.longest_seconds else max(asked, delay_ms(attempt, self.jitter) / 1000)
