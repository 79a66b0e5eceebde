"""Reads Server-Sent Events in tests, as a browser does: bytes in, events out; and judges what readers received."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass
class Received:
    """One event: its id, its name and its data."""

    id: str
    event: str
    data: Any


@dataclass
class Parser:
    """Feed it pieces of a stream; what is not ended yet waits."""

    last_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    _rest: str = ""

    def feed(self, piece: bytes) -> Iterator[Received]:
        self._rest += piece.decode()
        while "\r\n\r\n" in self._rest:
            block, self._rest = self._rest.split("\r\n\r\n", 1)
            found = self._event(block)
            if found is not None:
                yield found

    def _event(self, block: str) -> Received | None:
        data: list[str] = []
        name = "message"
        for line in block.split("\r\n"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match key:
                case "id":
                    self.last_id = value
                case "event":
                    name = value
                case "data":
                    data.append(value)
                case "retry":
                    self.retry = int(value)
                case "":
                    self.comments.append(value)
        return Received(self.last_id, name, json.loads("\n".join(data))) if data else None


def parsed(content: bytes) -> list[Received]:
    """The events of a whole answer."""
    return list(Parser().feed(content))


def differences(received: Mapping[str, Sequence[int]], stored: Mapping[str, Sequence[int]]) -> list[str]:
    """How what a reader received, positions by context, differs from what is stored; nothing where they are the same."""
    found = []
    for context in sorted({*received, *stored}):
        got, kept = list(received.get(context, [])), list(stored.get(context, []))
        if got == kept:
            continue
        lost, foreign = sorted(set(kept) - set(got)), sorted(set(got) - set(kept))
        repeated = sorted({each for each in got if got.count(each) > 1})
        order = [second for first, second in pairwise(got) if second < first]
        found.append(f"{context}: lost {lost[:5]}, repeated {repeated[:5]}, not stored {foreign[:5]}, out of order {order[:5]}")
    return found
