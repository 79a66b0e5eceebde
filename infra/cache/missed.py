"""Remembers the invalidations that could not be made: keys and patterns in, the same out once the cache is back; bounded, pure."""

from __future__ import annotations

from typing import Final, NamedTuple


class Missed(NamedTuple):
    """A key, or all keys that match a pattern."""

    text: str
    is_pattern: bool


EVERYTHING: Final = Missed("*", True)


class MissedInvalidations:
    """What must go before anything is read again. Beyond `limit` entries it remembers that everything must go.

    Each entry has a number, which changes when the entry comes again: what was made up for in between does not count for it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._numbers: dict[Missed, int] = {}
        self._last = 0

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def add(self, missed: Missed) -> None:
        """This must go."""
        self._last += 1
        if missed == EVERYTHING or EVERYTHING in self._numbers or (missed not in self._numbers and len(self._numbers) >= self._limit):
            self._numbers.clear()
            missed = EVERYTHING
        self._numbers[missed] = self._last

    def entries(self) -> tuple[tuple[Missed, int], ...]:
        """What must go as of now, each with its number."""
        return tuple(self._numbers.items())

    def made_up(self, missed: Missed, number: int) -> None:
        """This has gone since it had this number."""
        if self._numbers.get(missed) == number:
            del self._numbers[missed]
