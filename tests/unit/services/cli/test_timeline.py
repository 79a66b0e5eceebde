"""A request's timeline as people see it: the sums on top, each wait and each work in its place, events in between."""

from datetime import timedelta

import pytest
from rich.console import Console

from projections.timeline.projection import TIMELINE
from projections.timeline.queries import Entry, TimelineView
from projections.timeline.steps import parts, totals
from services.cli.timeline import duration, timeline_tree
from tests.mixed_log import BEGAN, ENDINGS, mixed_log
from tests.unit.projections.recording import tables_after

LOGS = mixed_log(len(ENDINGS))
ROWS = tables_after(TIMELINE, [LOGS["requests"], LOGS["tasks"]])
NOW = BEGAN + timedelta(hours=2)


def printed(request_id: str, *, over: bool, trace_ids: tuple[str, ...] = (), trace_url: str | None = None) -> list[str]:
    rows = [Entry(**{name: row[name] for name in Entry.model_fields}) for row in ROWS.values() if row["request_id"] == request_id]
    rows.sort(key=lambda entry: (entry.at, entry.context, entry.stream_id, entry.version))
    rows = [row.model_copy(update={"trace_id": trace_id}) for row, trace_id in zip(rows, trace_ids, strict=False)] + rows[len(trace_ids) :]
    found = parts(rows, NOW)
    view = TimelineView(
        request_id=request_id,
        tenant_id="test-tenant",
        began_at=rows[0].at,
        ended_at=rows[-1].at if over else None,
        entries=tuple(rows),
        parts=found,
        totals=totals(rows, found, over, NOW),
    )
    console = Console(width=200)
    with console.capture() as captured:
        console.print(timeline_tree(view, trace_url))
    return captured.get().splitlines()


def test_waits_and_work_stand_apart_below_their_part() -> None:
    lines = printed("req-1", over=True)
    assert lines[0] == "req-1: 23 s in all"
    assert lines[1] == (
        "├── work 1.12 s · waited for agents 10.9 s · waited for people 3 s · on the way 8 s · 4 attempts · 480+60 tokens · $0.0480"
    )
    research = next(number for number, line in enumerate(lines) if "task-req-1-research" in line)
    assert [line.strip("│├─└ ") for line in lines[research : research + 5]] == [
        "+8 s      research  task-req-1-research",
        "waited for an agent 2 s",
        "work 1 s · attempt 1 · research-1 · small · 120+15 tokens · $0.0120 · FAILURE: no answer",
        "waited for an agent 2.96 s",
        "work 41 ms · attempt 2 · research-2 · small · 120+15 tokens · $0.0120 · SUCCESS",
    ]
    assert any("waited for a person 3 s · RequestApproved by requests-process: as agreed" in line for line in lines)
    assert any("InformationRequested  Which invoice?" in line for line in lines)
    assert lines[-1].endswith("RequestCompleted  by requests-process")


def test_what_goes_on_is_said_to_go_on() -> None:
    lines = printed("req-8", over=False)
    assert lines[0].endswith("so far")
    assert any("waited for a person 1 h 58 min · goes on" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.041, "41 ms"),
        (2.959, "2.96 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (200.0, "3 min 20 s"),
        (7_500.0, "2 h 5 min"),
        (273_600.0, "3 d 4 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_its_recorded_traces_are_named_or_where_they_are_found() -> None:
    request, decision = "a" * 32, "b" * 32
    named = [line for line in printed("req-1", over=True, trace_ids=(request, request, decision)) if "trace" in line]
    assert [line.split()[-2:] for line in named] == [["trace", request], ["trace", decision]]
    found = printed("req-1", over=True, trace_ids=(request,), trace_url="http://localhost:16686/trace/{trace_id}")
    assert [line.split()[-1] for line in found if "16686" in line] == [f"http://localhost:16686/trace/{request}"]
    assert not [line for line in printed("req-1", over=True) if "trace" in line]
