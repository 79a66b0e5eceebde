"""Cursors of lists: the last row of a page in, an opaque text out, and back; a text that is none is refused."""

from __future__ import annotations

import base64
import json
from datetime import datetime

from contracts.message import MAX_ID_CHARACTERS
from services.gateway.errors import ApiError, broken_rule

MAX_CURSOR_CHARACTERS = 600
After = tuple[datetime, str]
"""Time and id of the last row of a page."""


def cursor_of(after: After) -> str:
    """The cursor that stands after this row."""
    text = json.dumps([after[0].isoformat(), after[1]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def after_of(cursor: str | None) -> After | None:
    """The row that a cursor stands after. Raises ApiError, 422."""
    if cursor is None:
        return None
    if not cursor or len(cursor) > MAX_CURSOR_CHARACTERS or not cursor.isascii():
        raise _no_cursor(cursor)
    try:
        time, id_ = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        moment = datetime.fromisoformat(time)
    except (ValueError, TypeError, RecursionError):
        raise _no_cursor(cursor) from None
    if moment.tzinfo is None or not isinstance(id_, str) or not 0 < len(id_) <= MAX_ID_CHARACTERS or not id_.isprintable():
        raise _no_cursor(cursor)
    return moment, id_


def _no_cursor(cursor: str) -> ApiError:
    return broken_rule("cursor", "Should be the next_cursor of a page", cursor, where="query")
