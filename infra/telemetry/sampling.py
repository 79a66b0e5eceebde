"""Decides which of many alike log lines are written, and tells how many were not; asked by the log's handler for each record.

Below WARNING, lines of one logger and template beyond N a second are thinned out: one in M is written, and it says how many were left
out before it. From WARNING on nothing is thinned out; only what is the very same text more than N times in a second is told once more,
with a count.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from infra.telemetry.scrub import text_of

WINDOW_SECONDS: Final = 1.0
# More different lines than this in one second are not alike; they are written without being counted.
MOST_KEYS: Final = 2_000
# Attributes of a record: how many like it were not written, and where it was logged, for it may be written elsewhere.
LEFT_OUT: Final = "left_out"
TEMPLATE: Final = "_template"
CONTEXT: Final = "_agentmesh_context"


@dataclass(frozen=True, slots=True)
class SampleRate:
    """`per_second` lines of a kind are written; of those beyond, one in `one_in`."""

    per_second: int
    one_in: int


def parse_sample(text: str) -> SampleRate | None:
    """`50/100`: fifty a second, of the rest every hundredth; `off`: everything. Raises ValueError that says the form."""
    if text.strip().lower() == "off":
        return None
    first, slash, second = text.partition("/")
    if not slash or not (first.strip().isdecimal() and second.strip().isdecimal()) or int(second) < 1 or int(first) < 1:
        raise ValueError("must be off, or LINES/ONE_IN with whole numbers above 0, such as 50/100")
    return SampleRate(int(first), int(second))


@dataclass(slots=True)
class _Kind:
    """Lines of one kind in the second that runs."""

    record: logging.LogRecord
    seen: int = 0
    left_out: int = 0


class Sampler:
    """The counts of one process. Not thread-safe: the handler's lock guards it."""

    def __init__(self, rate: SampleRate | None, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._began = clock()
        self._kinds: dict[tuple[object, ...], _Kind] = {}
        self.waiting = False
        """Whether something was left out that may not have been told."""

    def take(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """What to write now that this record has come: it, or not; and before it what is to be told of the second that has ended."""
        if self._rate is None:
            yield record
            return
        if self._clock() - self._began >= WINDOW_SECONDS:
            yield from self.told()
        key = _key_of(record)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MOST_KEYS:
                yield record
                return
            kind = self._kinds[key] = _Kind(record)
        kind.seen += 1
        if self._written(kind, record):
            if kind.left_out:
                setattr(record, LEFT_OUT, kind.left_out)
                kind.left_out = 0
            yield record
        else:
            kind.left_out += 1
            kind.record = record
            setattr(record, CONTEXT, contextvars.copy_context())
            self.waiting = True

    def _written(self, kind: _Kind, record: logging.LogRecord) -> bool:
        assert self._rate is not None
        beyond = kind.seen - self._rate.per_second
        return beyond <= 0 or (record.levelno < logging.WARNING and beyond % self._rate.one_in == 0)

    def told(self) -> Iterator[logging.LogRecord]:
        """The last of each kind that was left out, with the count; begins a new second."""
        kinds, self._kinds = self._kinds, {}
        self._began, self.waiting = self._clock(), False
        for kind in kinds.values():
            if kind.left_out:
                setattr(kind.record, LEFT_OUT, kind.left_out - 1)
                yield kind.record


def _key_of(record: logging.LogRecord) -> tuple[object, ...]:
    if record.levelno < logging.WARNING:
        return record.name, record.levelno, template_of(record)
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return record.name, record.levelno, text_of_record(record), type(error), text_of(error)


def template_of(record: logging.LogRecord) -> str:
    """The text before its values are put in; of a structlog record what its logger was given."""
    if isinstance(record.msg, dict):
        return text_of(record.msg.get(TEMPLATE, record.msg.get("event", "")))
    return str(record.msg)


def text_of_record(record: logging.LogRecord) -> str:
    """The text with its values."""
    return str(record.msg.get("event", "")) if isinstance(record.msg, dict) else record.getMessage()
