"""Bytes of a parked record in, what a person can read of them out; used wherever one is shown."""

from __future__ import annotations

import json
from typing import Any


def readable(value: bytes | None, *, text: bool = False) -> Any:
    """JSON where the bytes are JSON (unless `text`), else their text, with escapes for what is none."""
    if value is None:
        return None
    if not text:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            pass
    return value.decode("utf-8", "backslashreplace")
