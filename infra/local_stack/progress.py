"""How the local stack tells what it is doing: one sentence at a time, to a function that the caller gives."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]


def silent(message: str) -> None:
    """A progress that tells nobody."""
