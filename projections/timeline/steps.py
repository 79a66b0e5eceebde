"""Rows of a request's timeline in, its steps out: what was waited for, who worked how long, what it used; pure, part of the queries of
the read model `timeline`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from typing import Any

from pydantic import BaseModel, ConfigDict

PERSON_ASKED = "ApprovalRequested"
PERSON_DONE = frozenset(
    {"RequestApproved", "RequestRejected", "ApprovalNotRequired", "RequestFailed", "RequestDeleted", "RequestCompleted"}
)
APPROVAL = "approval"


class Entry(BaseModel):
    """One event of a request's timeline."""

    model_config = ConfigDict(frozen=True)

    stream_id: str
    context: str
    version: int
    position: int
    at: datetime
    event: str
    task_type: str | None
    attempt: int | None
    agent_id: str | None
    by: str
    outcome: str | None
    what: str | None
    duration_ms: int | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    trace_id: str | None = None


class StepKind(StrEnum):
    """What the time of a step was spent with."""

    WAITING_FOR_AGENT = "waiting_for_agent"
    WORK = "work"
    WAITING_FOR_PERSON = "waiting_for_person"


class Step(BaseModel):
    """A piece of time between two events; `ended_at` is None while it goes on, and `seconds` count until now then."""

    model_config = ConfigDict(frozen=True)

    kind: StepKind
    began_at: datetime
    ended_at: datetime | None
    seconds: float
    attempt: int | None = None
    agent_id: str | None = None
    outcome: str | None = None
    reason: str | None = None
    by: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)


class Part(BaseModel):
    """A task of the request, or an approval that was asked for, with its steps in order."""

    model_config = ConfigDict(frozen=True)

    name: str
    task_id: str | None
    began_at: datetime
    steps: tuple[Step, ...]


class Totals(BaseModel):
    """Where the time of a request went, and what it used. `other_seconds` is the time in which nothing of it waited or was worked on: the
    way of its messages through the mesh."""

    model_config = ConfigDict(frozen=True)

    seconds: float
    waiting_for_agent_seconds: float
    work_seconds: float
    waiting_for_person_seconds: float
    other_seconds: float
    attempts: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


def parts(entries: Iterable[Entry], now: datetime) -> tuple[Part, ...]:
    """The tasks and approvals of a request, in the order in which they began."""
    by_stream = sorted(entries, key=lambda entry: (entry.context, entry.stream_id, entry.version))
    found: list[Part] = []
    for (context, stream_id), stream in groupby(by_stream, key=lambda entry: (entry.context, entry.stream_id)):
        events = list(stream)
        if context == "tasks":
            steps = tuple(_task_steps(events, now))
            found.append(Part(name=events[0].task_type or context, task_id=stream_id, began_at=events[0].at, steps=steps))
        else:
            waits = _person_steps(events, now)
            found += [Part(name=APPROVAL, task_id=None, began_at=step.began_at, steps=(step,)) for step in waits]
    return tuple(sorted(found, key=lambda part: part.began_at))


def totals(entries: Sequence[Entry], found: Iterable[Part], over: bool, now: datetime) -> Totals:
    """Sums over all steps; two steps at the same time count twice in their kinds, once in what is left over."""
    steps = [step for part in found for step in part.steps]
    began, ended = entries[0].at, max(entry.at for entry in entries) if over else now
    whole = _seconds(began, ended)
    busy = sum(_seconds(first, last) for first, last in _merged((step.began_at, step.ended_at or now) for step in steps))
    return Totals(
        seconds=whole,
        waiting_for_agent_seconds=_sum(steps, StepKind.WAITING_FOR_AGENT),
        work_seconds=_sum(steps, StepKind.WORK),
        waiting_for_person_seconds=_sum(steps, StepKind.WAITING_FOR_PERSON),
        other_seconds=round(max(0.0, whole - busy), 3),
        attempts=sum(step.kind is StepKind.WORK for step in steps),
        input_tokens=sum(step.input_tokens for step in steps),
        output_tokens=sum(step.output_tokens for step in steps),
        cost=sum((step.cost for step in steps), Decimal(0)),
    )


def _task_steps(events: Sequence[Entry], now: datetime) -> Iterator[Step]:
    """Waiting and work in turn. What the agent measured counts as its work, where it told; the rest of an attempt is waiting."""
    waiting_since: datetime | None = None
    paused: Entry | None = None
    taken: Entry | None = None
    for entry in events:
        match entry.event:
            case "TaskQueued":
                waiting_since = entry.at
            case "TaskAssigned" | "TaskStarted":
                taken = entry
            case "TaskPaused":
                yield from _attempt(waiting_since, taken, entry, now)
                waiting_since, taken, paused = None, None, entry
            case "TaskReassigned" | "TaskCompleted":
                yield from _attempt(waiting_since, taken, entry, now) if paused is None else (_pause(paused, entry, now),)
                waiting_since, taken, paused = (entry.at if entry.event == "TaskReassigned" else None), None, None
    if paused is not None:
        yield _pause(paused, None, now)
    if waiting_since is not None:
        yield from _attempt(waiting_since, taken, None, now)


def _pause(paused: Entry, ended: Entry | None, now: datetime) -> Step:
    step = _step(StepKind.WAITING_FOR_PERSON, paused.at, None if ended is None else ended.at, now)
    return step.model_copy(update={"reason": paused.what})


def _attempt(waiting_since: datetime | None, taken: Entry | None, ended: Entry | None, now: datetime) -> Iterator[Step]:
    began = None if taken is None else taken.at
    if began is not None and ended is not None and ended.duration_ms:
        began = max(waiting_since or began, ended.at - timedelta(milliseconds=ended.duration_ms))
    if waiting_since is not None:
        waited_until = began or (None if ended is None else ended.at)
        yield _step(StepKind.WAITING_FOR_AGENT, waiting_since, waited_until, now)
    if taken is None or began is None:
        return
    step = _step(StepKind.WORK, began, None if ended is None else ended.at, now)
    told: dict[str, Any] = {"attempt": taken.attempt, "agent_id": taken.agent_id}
    if ended is not None:
        told |= {
            "outcome": ended.outcome or ("PAUSED" if ended.event == "TaskPaused" else "FAILURE"),
            "reason": ended.what,
            "model": ended.model,
        }
        told |= {"input_tokens": ended.input_tokens or 0, "output_tokens": ended.output_tokens or 0, "cost": ended.cost or Decimal(0)}
    yield step.model_copy(update=told)


def _person_steps(events: Sequence[Entry], now: datetime) -> Iterator[Step]:
    asked: datetime | None = None
    for entry in events:
        if asked is not None and (entry.event == PERSON_ASKED or entry.event in PERSON_DONE):
            step = _step(StepKind.WAITING_FOR_PERSON, asked, entry.at, now)
            yield step.model_copy(update={"outcome": entry.event, "by": entry.by, "reason": entry.what})
            asked = None
        if entry.event == PERSON_ASKED:
            asked = entry.at
    if asked is not None:
        yield _step(StepKind.WAITING_FOR_PERSON, asked, None, now)


def _step(kind: StepKind, began: datetime, ended: datetime | None, now: datetime) -> Step:
    return Step(kind=kind, began_at=began, ended_at=ended, seconds=_seconds(began, ended or now))


def _seconds(began: datetime, ended: datetime) -> float:
    """Never below zero, whatever the clocks of two machines say."""
    return round(max(0.0, (ended - began).total_seconds()), 3)


def _sum(steps: Iterable[Step], kind: StepKind) -> float:
    return round(sum(step.seconds for step in steps if step.kind is kind), 3)


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """The spans, those that overlap made one."""
    first: datetime | None = None
    last: datetime | None = None
    for began, ended in sorted(spans):
        if first is None or last is None or began > last:
            if first is not None and last is not None:
                yield first, last
            first, last = began, ended
        else:
            last = max(last, ended)
    if first is not None and last is not None:
        yield first, last
