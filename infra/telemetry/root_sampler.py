"""Decides which new traces are recorded, and names those that are not; used by tracing before it makes a span.

A trace has the decision of its first span: it travels in the flags of `traceparent`, and nobody decides again.
"""

from __future__ import annotations

from random import getrandbits

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


def unsampled_traceparent() -> str:
    """The `traceparent` of a new trace that nobody records: logs of all its steps have its id, and no step decides anew.

    Made without OpenTelemetry's objects, which cost a command worker as much as a tenth of its time where 1 % is recorded.
    """
    ids = f"{getrandbits(192) | _NO_ZEROS:048x}"
    return f"00-{ids[:32]}-{ids[32:]}-00"
