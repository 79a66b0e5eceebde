"""Reads the times that people give to options: a span back from now, or a date or time; used by `analytics` and `logs`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from services.cli.errors import WrongUsage

_SPAN = re.compile(r"([1-9][0-9]{0,5})(s|min|h|d)")
_UNITS = {"s": timedelta(seconds=1), "min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
FORMS = "write a span back from now such as 30min, 24h or 7d, or a time such as 2026-05-04 or 2026-05-04T09:30Z"


def moment(option: str, text: str, now: datetime) -> datetime:
    """The time that a text means: a span back from now, or a date or time, of UTC where it has no zone. Raises WrongUsage."""
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return now - int(span[1]) * _UNITS[span[2]]
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise WrongUsage(f"{option} {text}: {FORMS}.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
