"""A request's timeline in, the bars and lines of its picture out: who waited for whom, and who worked, on one scale; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from infra.models.base import RecordedCall
from projections.timeline.queries import Part, Step, StepKind, TimelineView, Totals

WIDTH = 1_000
LEAST = 4
"""What is shorter than can be seen is drawn as wide as this."""
TICKS = 5
SHORT_ENOUGH = 0.35
"""Waits for people longer than this share of all are folded to it, so that hours of waiting do not hide seconds of work."""


class Lane(StrEnum):
    """What a bar stands for; each is drawn in a shape of its own."""

    QUEUE = "queue"
    WORK = "work"
    MODEL = "model"
    PERSON = "person"


class Bar(NamedTuple):
    """A piece of time on the scale of 0 to WIDTH."""

    lane: Lane
    x: int
    width: int
    open: bool
    """It goes on."""
    label: str


class Row(NamedTuple):
    """A task or an approval with its bars."""

    name: str
    task_id: str | None
    bars: tuple[Bar, ...]


class Line(NamedTuple):
    """A step in words, for the table beside the picture."""

    part: str
    lane: Lane
    began_at: datetime
    offset_seconds: float
    seconds: float
    open: bool
    detail: str


class Tick(NamedTuple):
    """A mark of the scale."""

    x: int
    seconds: float


class Waterfall(NamedTuple):
    """All that the picture and its table show."""

    rows: tuple[Row, ...]
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    folded: bool
    """Long waits for people are drawn shorter than they were."""
    totals: Totals
    model_seconds: float
    over: bool


LANES = {
    StepKind.WAITING_FOR_AGENT: Lane.QUEUE,
    StepKind.WORK: Lane.WORK,
    StepKind.WAITING_FOR_PERSON: Lane.PERSON,
}
WORDS = {
    Lane.QUEUE: "waited for an agent",
    Lane.WORK: "agent work",
    Lane.MODEL: "model call",
    Lane.PERSON: "waited for a person",
}


class Scale:
    """Seconds since the beginning to a place from 0 to WIDTH."""

    def __init__(self, whole: float, waits: Sequence[tuple[float, float]]) -> None:
        self._folds = self._folded(whole, waits)
        self.folded = bool(self._folds)
        self._whole = max(self._shown(whole), 0.001)
        self.whole = whole

    def x(self, seconds: float) -> int:
        """Where a moment is."""
        return round(min(1.0, max(0.0, self._shown(seconds) / self._whole)) * WIDTH)

    def ticks(self) -> tuple[Tick, ...]:
        """Marks in even distances, with the time that each stands for."""
        places = [part / (TICKS - 1) for part in range(TICKS)]
        return tuple(Tick(round(WIDTH * place), round(self._real(self._whole * place), 3)) for place in places)

    @staticmethod
    def _folded(whole: float, waits: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
        """(begin, end, how long it is drawn) of the waits that are drawn shorter."""
        rest = whole - sum(end - begin for begin, end in waits)
        most = max(rest, 0.001) * SHORT_ENOUGH / (1 - SHORT_ENOUGH) * 2
        return [(begin, end, most) for begin, end in waits if end - begin > most]

    def _shown(self, seconds: float) -> float:
        shown = seconds
        for begin, end, drawn in self._folds:
            if seconds >= end:
                shown -= (end - begin) - drawn
            elif seconds > begin:
                shown -= (seconds - begin) * (1 - drawn / (end - begin))
        return shown

    def _real(self, shown: float) -> float:
        low, high = 0.0, self.whole
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self._shown(middle) < shown else (low, middle)
        return high


def waterfall(view: TimelineView, calls: Sequence[RecordedCall] = ()) -> Waterfall:
    """The picture of a timeline, with the model calls that are known."""
    whole = view.totals.seconds
    scale = Scale(whole, _waits(view))
    rows, lines = [], []
    for part in view.parts:
        own = [call._replace(ended_at=call.ended_at or _end_of(part)) for call in calls if call.task_id == part.task_id]
        bars = [_bar(scale, view, LANES[step.kind], step.began_at, step.ended_at, _detail(step)) for step in part.steps]
        bars += [_bar(scale, view, Lane.MODEL, call.began_at, call.ended_at, "") for call in own]
        rows.append(Row(part.name, part.task_id, tuple(bars)))
        lines += [_line(view, part, LANES[step.kind], step.began_at, step.ended_at, _detail(step)) for step in part.steps]
        lines += [_line(view, part, Lane.MODEL, call.began_at, call.ended_at, "") for call in own]
    lines.sort(key=lambda line: (line.began_at, line.lane is Lane.MODEL))
    model = sum(line.seconds for line in lines if line.lane is Lane.MODEL)
    return Waterfall(tuple(rows), tuple(lines), scale.ticks(), scale.folded, view.totals, model, view.ended_at is not None)


def _end_of(part: Part) -> datetime | None:
    """When a task ended; None while it goes on. A call whose host died has no end of its own."""
    ends = [step.ended_at for step in part.steps]
    return None if None in ends else max((end for end in ends if end is not None), default=None)


def _waits(view: TimelineView) -> list[tuple[float, float]]:
    """When nothing but a person was waited for, in order, without overlaps."""
    steps = [step for part in view.parts for step in part.steps]
    found: list[tuple[float, float]] = []
    for step in sorted(steps, key=lambda step: step.began_at):
        if step.kind is not StepKind.WAITING_FOR_PERSON:
            continue
        begin, end = _offset(view, step.began_at), _offset(view, step.ended_at)
        if found and begin < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif end > begin:
            found.append((begin, end))
    busy = [(_offset(view, step.began_at), _offset(view, step.ended_at)) for step in steps if step.kind is not StepKind.WAITING_FOR_PERSON]
    return [wait for wait in found if not any(begin < wait[1] and end > wait[0] for begin, end in busy)]


def _offset(view: TimelineView, at: datetime | None) -> float:
    """Seconds since the request began; now, for what goes on."""
    return view.totals.seconds if at is None else max(0.0, (at - view.began_at).total_seconds())


def _bar(scale: Scale, view: TimelineView, lane: Lane, began: datetime, ended: datetime | None, detail: str) -> Bar:
    begin, end = _offset(view, began), _offset(view, ended)
    x = min(scale.x(begin), WIDTH - LEAST)
    label = f"{WORDS[lane]}: {detail}" if detail else WORDS[lane]
    return Bar(lane, x, max(LEAST, scale.x(end) - x), ended is None, label)


def _line(view: TimelineView, part: Part, lane: Lane, began: datetime, ended: datetime | None, detail: str) -> Line:
    begin, end = _offset(view, began), _offset(view, ended)
    return Line(part.name, lane, began, begin, max(0.0, end - begin), ended is None, detail)


def _detail(step: Step) -> str:
    told = []
    if step.attempt is not None:
        told.append(f"attempt {step.attempt}")
    if step.agent_id is not None:
        told.append(f"by {step.agent_id}")
    if step.model is not None:
        told.append(step.model)
        if step.input_tokens or step.output_tokens:
            told.append(f"{step.input_tokens} + {step.output_tokens} tokens")
        if step.cost:
            told.append(f"{step.cost} USD")
    if step.ended_at is not None and step.outcome is not None:
        by = "" if step.by is None else f" by {step.by}"
        told.append(f"{step.outcome}{by}{'' if step.reason is None else f': {step.reason}'}")
    return ", ".join(told)
