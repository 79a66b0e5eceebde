"""The question what happened to a request, answered from the read model; all that CLI and gateway may import of it. Of one tenant."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from contracts.requests.statuses import STATUS_AFTER
from contracts.requests.values import FINAL_STATUSES
from infra.postgres.base import QueryPort
from projections.timeline.steps import Entry, Part, Step, StepKind, Totals, parts, totals

__all__ = ["Entry", "GetTimeline", "Part", "Step", "StepKind", "TimelineView", "Totals", "request_timeline"]

ROWS = b"""
SELECT clock_timestamp(), stream_id, context, version, position, at, event, task_type, attempt, agent_id, by, outcome, what, duration_ms,
model, input_tokens, output_tokens, cost, trace_id
FROM read_timeline.timeline WHERE request_id = %(id)s AND tenant_id = %(tenant)s ORDER BY at, context, stream_id, version
"""
ENDINGS = frozenset(event.__name__ for event, status in STATUS_AFTER.items() if status in FINAL_STATUSES)


class GetTimeline(BaseModel):
    """The timeline of one request of a tenant."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    request_id: str


class TimelineView(BaseModel):
    """What happened to a request, by time; the same as parts with their steps; and the sums. `ended_at` is None while it is open."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    tenant_id: str
    began_at: datetime
    ended_at: datetime | None
    entries: tuple[Entry, ...]
    parts: tuple[Part, ...]
    totals: Totals

    @property
    def trace_ids(self) -> tuple[str, ...]:
        """The recorded traces in which the request was worked on, the request's own first; a person's decision has one of its own."""
        return tuple(dict.fromkeys(entry.trace_id for entry in self.entries if entry.trace_id is not None))


async def request_timeline(port: QueryPort, query: GetTimeline) -> TimelineView | None:
    """The timeline, or None when nothing of this tenant is about a request with that id."""
    rows = await port.fetch(ROWS, {"id": query.request_id, "tenant": query.tenant_id})
    if not rows:
        return None
    now: datetime = rows[0][0]
    entries = tuple(Entry(**dict(zip(Entry.model_fields, row[1:], strict=True))) for row in rows)
    ends = [entry.at for entry in entries if entry.event in ENDINGS]
    found = parts(entries, now)
    return TimelineView(
        request_id=query.request_id,
        tenant_id=query.tenant_id,
        began_at=entries[0].at,
        ended_at=max(ends, default=None),
        entries=entries,
        parts=found,
        totals=totals(entries, found, bool(ends), now),
    )
