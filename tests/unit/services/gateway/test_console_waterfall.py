"""The picture of a timeline: bars on one scale, in the order of what happened, with long waits folded and model calls apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from infra.models.base import RecordedCall
from projections.timeline.queries import Entry, TimelineView
from projections.timeline.steps import parts, totals
from services.gateway.console.waterfall import LEAST, WIDTH, Lane, waterfall

BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def entry(seconds: float, event: str, stream: str, version: int, **told: Any) -> Entry:
    nothing = dict.fromkeys(Entry.model_fields)
    context = "tasks" if stream.startswith("task") else "requests"
    known = {"stream_id": stream, "context": context, "version": version, "position": version, "at": at(seconds), "event": event}
    return Entry(**{**nothing, **known, "by": "ann", **told})


def timeline(*entries: Entry, now: float, over: bool) -> TimelineView:
    found = parts(entries, at(now))
    return TimelineView(
        request_id="req-1",
        tenant_id="test-tenant",
        began_at=entries[0].at,
        ended_at=max(each.at for each in entries) if over else None,
        entries=entries,
        parts=found,
        totals=totals(entries, found, over, at(now)),
    )


def task(began: float, taken: float, ended: float | None, number: int = 1) -> list[Entry]:
    stream = f"task-{number}"
    found = [
        entry(began, "TaskQueued", stream, 1, task_type="triage"),
        entry(taken, "TaskStarted", stream, 2, attempt=1, agent_id="agent-1"),
    ]
    return found if ended is None else [*found, entry(ended, "TaskCompleted", stream, 3, outcome="SUCCESS", model="gpt", input_tokens=7)]


def ten_seconds() -> TimelineView:
    """One task, which waits from 1 to 3 and works until 6."""
    began, ended = entry(0, "RequestCreated", "req-1", 1), entry(10, "RequestCompleted", "req-1", 2)
    return timeline(began, *task(1, 3, 6), ended, now=99, over=True)


def test_waits_and_work_stand_where_they_were() -> None:
    shown = waterfall(
        timeline(entry(0, "RequestCreated", "req-1", 1), *task(1, 3, 6), entry(10, "RequestCompleted", "req-1", 2), now=99, over=True)
    )
    (row,) = shown.rows
    assert [(bar.lane, bar.x, bar.width) for bar in row.bars] == [(Lane.QUEUE, 100, 200), (Lane.WORK, 300, 300)]
    assert [(line.lane, line.offset_seconds, line.seconds) for line in shown.lines] == [(Lane.QUEUE, 1, 2), (Lane.WORK, 3, 3)]
    assert shown.lines[1].detail == "attempt 1, by agent-1, gpt, 7 + 0 tokens, SUCCESS"
    assert (shown.folded, shown.over, [tick.seconds for tick in shown.ticks]) == (False, True, [0, 2.5, 5, 7.5, 10])


def test_a_model_call_is_within_the_work_and_ends_with_it_where_its_host_died() -> None:
    calls = [RecordedCall("task-1", at(4), at(5)), RecordedCall("task-1", at(5), None), RecordedCall("task-of-another", at(1), at(2))]
    shown = waterfall(
        timeline(entry(0, "RequestCreated", "req-1", 1), *task(1, 3, 6), entry(10, "RequestCompleted", "req-1", 2), now=99, over=True),
        calls,
    )
    assert [(bar.x, bar.width) for bar in shown.rows[0].bars if bar.lane is Lane.MODEL] == [(400, 100), (500, 100)]
    assert shown.model_seconds == 2


def test_what_goes_on_reaches_to_now_and_what_is_short_can_be_seen() -> None:
    shown = waterfall(timeline(entry(0, "RequestCreated", "req-1", 1), *task(0, 0.001, None), now=100, over=False))
    queue, work = shown.rows[0].bars
    assert (queue.width, work.open, work.x + work.width) == (LEAST, True, WIDTH)
    assert shown.lines[-1].open


def test_three_days_of_waiting_do_not_hide_three_seconds_of_work() -> None:
    days = 3 * 86_400.0
    shown = waterfall(
        timeline(
            entry(0, "RequestCreated", "req-1", 1),
            *task(0, 1, 3),
            entry(4, "ApprovalRequested", "req-1", 2),
            entry(4 + days, "RequestApproved", "req-1", 3),
            *task(4 + days, 5 + days, 7 + days, 2),
            entry(8 + days, "RequestCompleted", "req-1", 4),
            now=days * 2,
            over=True,
        )
    )
    assert shown.folded
    bars = [bar for row in shown.rows for bar in row.bars]
    person = next(bar for bar in bars if bar.lane is Lane.PERSON)
    assert person.width < WIDTH * 0.6
    assert all(bar.width > 50 for bar in bars if bar.lane is Lane.WORK)
    assert [bar.x for bar in bars] == sorted(bar.x for bar in bars)
    assert shown.ticks[0].seconds == 0
    assert abs(shown.ticks[-1].seconds - 8 - days) < 0.01
    line = next(line for line in shown.lines if line.lane is Lane.PERSON)
    assert line.seconds == days


def test_a_request_of_no_time_at_all_is_drawn() -> None:
    shown = waterfall(timeline(entry(0, "RequestCreated", "req-1", 1), entry(0, "RequestCompleted", "req-1", 2), now=0, over=True))
    assert (shown.rows, shown.totals.seconds) == ((), 0)
