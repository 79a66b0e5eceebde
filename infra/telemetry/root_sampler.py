"""Decides which new traces are recorded, and names those that are not; used by tracing before it makes a span.

A trace has the decision of its first span: it travels in the flags of `traceparent`, and nobody decides again. Only where a trace comes
into the mesh, what somebody else decided is held to a number a second.
"""

from __future__ import annotations

from collections.abc import Callable
from random import getrandbits
from time import monotonic

_BITS = 64
# A bit of the trace id and one of the span id are set, because ids of zeros are none.
_NO_ZEROS = (1 << 64) | 1


class RootSampler:
    """Takes this share of all new traces: 0 none, 1 all."""

    __slots__ = ("_bound",)

    def __init__(self, ratio: float) -> None:
        self._bound = round(ratio * (1 << _BITS))

    def takes_one(self) -> bool:
        """Whether the trace that begins now is recorded."""
        return getrandbits(_BITS) < self._bound


class Allowance:
    """Grants this many a second, counted by whole seconds."""

    __slots__ = ("_began", "_clock", "_granted", "_per_second")

    def __init__(self, per_second: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._began = clock()
        self._granted = 0

    def grants_one(self) -> bool:
        """Whether there is one left in the second that runs."""
        now = self._clock()
        if now - self._began >= 1:
            self._began, self._granted = now, 0
        self._granted += 1
        return self._granted <= self._per_second


def unsampled_traceparent(trace_id: str | None = None) -> str:
    """The `traceparent` of a trace that nobody records, a new one where none is given: logs of all its steps have its id, and no step
    decides anew.

    Made without OpenTelemetry's objects, which cost a command worker as much as a tenth of its time where 1 % is recorded.
    """
    ids = f"{getrandbits(192) | _NO_ZEROS:048x}"
    return f"00-{trace_id or ids[:32]}-{ids[32:]}-00"
