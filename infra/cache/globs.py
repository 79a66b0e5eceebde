"""Redis' patterns without Redis: a pattern in, the same verdict on a key out, byte by byte as Redis gives it; pure."""

from __future__ import annotations

import functools
import re

_SPECIAL = re.compile(r"[*?\[\]\\]")


def escaped(text: str) -> str:
    """The pattern that matches this text and nothing else."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def matches(pattern: str, key: str) -> bool:
    """Whether the pattern matches the whole key."""
    return _compiled(pattern).fullmatch(key.encode()) is not None


@functools.lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> re.Pattern[bytes]:
    """The regular expression over bytes: Redis' `?` is one byte, not one character."""
    rest, parts = pattern.encode(), []
    while rest:
        part, rest = _next_part(rest)
        parts.append(part)
    return re.compile(b"".join(parts), re.DOTALL)


def _next_part(rest: bytes) -> tuple[bytes, bytes]:
    head, tail = rest[:1], rest[1:]
    if head == b"*":
        return b".*", tail
    if head == b"?":
        return b".", tail
    if head == b"[":
        return _set_of(tail)
    if head == b"\\" and tail:
        head, tail = tail[:1], tail[1:]
    return re.escape(head), tail


def _set_of(rest: bytes) -> tuple[bytes, bytes]:
    """A set of bytes; one that is never closed ends with the pattern, and one with nothing in it matches nothing."""
    negated = rest[:1] == b"^"
    rest = rest[1:] if negated else rest
    wanted: set[int] = set()
    while rest and rest[:1] != b"]":
        if len(rest) >= 2 and rest[:1] == b"\\":
            wanted.add(rest[1])
            rest = rest[2:]
        elif len(rest) >= 3 and rest[1:2] == b"-":
            low, high = sorted((rest[0], rest[2]))
            wanted.update(range(low, high + 1))
            rest = rest[3:]
        else:
            wanted.add(rest[0])
            rest = rest[1:]
    members = set(range(256)) - wanted if negated else wanted
    part = b"[" + b"".join(b"\\x%02x" % each for each in sorted(members)) + b"]" if members else rb"(?!)"
    return part, rest[1:]
