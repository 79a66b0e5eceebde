"""Shows a demo: its progress, one request's whole history, the totals; pretty on a terminal, readable without one."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from contracts.envelope import RecordedEvent
from services.cli.demo.count import Totals
from services.cli.event_log import short_data, short_type
from services.cli.output import console, print_json, tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Board:
    """Progress of several counts: bars on a terminal, one line at every tenth elsewhere. Everything goes to stderr."""

    def __init__(self, bars: Progress | None) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID | None, int]] = {}
        self._told: dict[str, int] = {}

    def begin(self, name: str, total: int) -> None:
        """Begin to count up to `total`."""
        task = None if self._bars is None else self._bars.add_task(name, total=total)
        self._tasks[name] = (task, total)
        self._told[name] = -1

    def at(self, name: str, done: int) -> None:
        """This many are done."""
        task, total = self._tasks[name]
        if self._bars is not None and task is not None:
            self._bars.update(task, completed=done)
            return
        tenth = 10 * done // max(total, 1)
        if tenth > self._told[name] and (tenth % 5 == 0 or done == total):
            self._told[name] = tenth
            tell(f"  {name:<34} {done:>6} of {total}")


@contextmanager
def board() -> Iterator[Board]:
    """A board that is taken away at the end of the block."""
    if not sys.stderr.isatty():
        yield Board(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("  {task.description:<34}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield Board(bars)


@dataclass(frozen=True, slots=True)
class Shown:
    """One request's way: what was published, what followed, when the read model showed it; in seconds since its first command."""

    request_id: str
    tenant_id: str
    message: str
    status: str
    version: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the request."""

    command_type: str
    command_id: str
    published_after: float
    outcome: str
    code: str | None
    event: RecordedEvent | None
    recorded_after: float | None
    shown_after: float | None


def print_history(shown: Shown) -> None:
    """A tree: the request, its commands, their events, the read model."""
    from rich.text import Text
    from rich.tree import Tree

    def line(text: str) -> Text:
        return Text(text, no_wrap=True, overflow="ellipsis")

    message = shown.message if len(shown.message) <= 90 else f"{shown.message[:89]}…"
    root = Tree(line(f"{shown.request_id}  tenant {shown.tenant_id}  “{message}”"))
    for step in shown.steps:
        head = f"+{step.published_after * 1000:7.1f} ms  command {short_type(step.command_type):<16} {step.command_id}"
        branch = root.add(line(head))
        if step.event is None:
            branch.add(line(f"{'':>11}  {step.outcome} {step.code or ''}".rstrip()))
            continue
        event = step.event
        leaf = branch.add(line(f"{_after(step.recorded_after)}  event   {_event(event)}"))
        if step.shown_after is not None:
            leaf.add(line(f"{_after(step.shown_after)}  read model shows version {event.sequence}"))
    root.add(line(f"now in the read model: {shown.status}, version {shown.version}"))
    console().print(root)


def _after(seconds: float | None) -> str:
    return " " * 11 if seconds is None else f"+{seconds * 1000:7.1f} ms"


def _event(event: RecordedEvent) -> str:
    data = short_data(json.loads(event.data), ("tenant_id", "request_id", "message", "thread_id", "metadata"), 70)
    place = f"{event.context}:{event.position}"
    return f"{short_type(event.metadata.type_name):<16} version {event.sequence}, position {place}  {data}"


def print_totals(totals: Totals, speed: Mapping[str, Any], faults: Counter[str]) -> None:
    """The numbers, and where each comes from."""
    print("\nTotals")
    rejected = totals.outcomes.get("rejected", 0)
    lines: Sequence[tuple[str, object, str]] = (
        ("records published", totals.published, "acknowledged by Kafka"),
        ("  distinct commands", totals.commands, "by aggregate and command id"),
        ("  sent again, same id", totals.duplicates_sent, _absorbed(totals)),
        ("outcomes", totals.outcomes.total(), _counts(totals.outcomes)),
        ("events in the store", totals.events.total(), _counts(totals.events)),
        ("rejections", rejected, _counts(totals.rejected_by_code)),
        ("  wrong on purpose", faults.total(), _counts(faults)),
        ("rows in the read model", totals.read_model_rows, _counts(totals.rows_by_status)),
    )
    for name, number, explained in lines:
        print(f"  {name:<24} {number:>7}  {explained}")
    print("\nSpeed (this machine carries the servers, the workers and this demo)")
    for name, value in speed.items():
        print(f"  {name.replace('_', ' '):<44} {value}")


def _absorbed(totals: Totals) -> str:
    if totals.duplicates_absorbed is None:
        return "absorbed; a worker could not be asked for its count"
    return f"{totals.duplicates_absorbed} absorbed, by the workers' own count"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def print_verdict(totals: Totals) -> None:
    """Whether the sums match."""
    if totals.problems:
        print("\nThe sums do NOT match:")
        for problem in totals.problems:
            print(f"  - {problem}")
        return
    outcomes, again = totals.outcomes.total(), totals.duplicates_sent
    print(f"\nThe sums match: {totals.published} published = {outcomes} outcomes + {again} sent again; nothing lost, nothing done twice.")


def print_as_json(totals: Totals, speed: Mapping[str, Any], faults: Counter[str], shown: Shown) -> None:
    """The whole report for a program."""
    steps = [
        {
            "command_type": step.command_type,
            "command_id": step.command_id,
            "outcome": step.outcome,
            "code": step.code,
            "event": None if step.event is None else step.event.metadata.type_name,
            "position": None if step.event is None else step.event.position,
            "version": None if step.event is None else step.event.sequence,
        }
        for step in shown.steps
    ]
    request = {"request_id": shown.request_id, "status": shown.status, "version": shown.version, "steps": steps}
    numbers = {each.name: getattr(totals, each.name) for each in fields(totals)}
    print_json({"totals": numbers, "faults": dict(faults), "speed": dict(speed), "request": request, "ok": not totals.problems})
