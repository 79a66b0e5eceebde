"""Shows a demo: its progress, one request's timeline, the totals; pretty on a terminal, readable without one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from projections.timeline.queries import TimelineView
from services.cli.demo.carried import WAITING
from services.cli.demo.count import Totals
from services.cli.output import console, print_json, tell
from services.cli.timeline import timeline_tree

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


def print_timeline(view: TimelineView) -> None:
    """A tree: who waited how long, who worked how long, who decided."""
    print("\nOne request, from its creation to its end")
    console().print(timeline_tree(view))


def print_totals(totals: Totals, speed: Mapping[str, Any], faults: Counter[str]) -> None:
    """The numbers, and where each comes from."""
    print("\nTotals")
    rejected = totals.outcomes.get("rejected", 0)
    lines: Sequence[tuple[str, object, str]] = (
        ("records published", totals.published, "acknowledged by Kafka"),
        ("  distinct commands", totals.commands, "by aggregate and command id"),
        ("  sent again, same id", totals.duplicates_sent, _absorbed(totals)),
        ("outcomes", totals.outcomes.total(), _counts(totals.outcomes)),
        ("events of requests", totals.events.total(), _counts(totals.events)),
        ("events of tasks", totals.tasks.total(), _counts(totals.tasks)),
        ("rejections", rejected, _counts(totals.rejected_by_code)),
        ("  wrong on purpose", faults.total(), _counts(faults)),
        ("rows in the read model", totals.read_model_rows, _counts(totals.rows_by_status)),
    )
    for name, number, explained in lines:
        print(f"  {name:<24} {number:>7}  {explained}")
    again = totals.tasks["TaskReassigned"]
    print(f"  {'host killed':<24} {totals.host_killed or 'none'}; {again} of its runs were given to another")
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
    ended = sum(number for status, number in totals.rows_by_status.items() if status != WAITING)
    print(f"Of {totals.read_model_rows} requests {ended} have ended, {totals.rows_by_status[WAITING]} wait for a person.")


def print_as_json(totals: Totals, speed: Mapping[str, Any], faults: Counter[str], shown: TimelineView) -> None:
    """The whole report for a program."""
    numbers = {each.name: getattr(totals, each.name) for each in fields(totals)}
    request = shown.model_dump(mode="json")
    print_json({"totals": numbers, "faults": dict(faults), "speed": dict(speed), "request": request, "ok": not totals.problems})
