"""A request's timeline as a tree for people: waits and work apart, what was used, the events in between; pure, made for `requests
timeline` and the demo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from projections.timeline.queries import Entry, Part, Step, StepKind, TimelineView

if TYPE_CHECKING:
    from rich.tree import Tree

TRACE_ID = "{trace_id}"
WORDS = {
    StepKind.WAITING_FOR_AGENT: "waited for an agent",
    StepKind.WORK: "work",
    StepKind.WAITING_FOR_PERSON: "waited for a person",
}
STYLES = {StepKind.WAITING_FOR_AGENT: "yellow", StepKind.WORK: "green", StepKind.WAITING_FOR_PERSON: "magenta"}


def timeline_tree(view: TimelineView, trace_url: str | None = None) -> Tree:
    """The tree: parts and the request's own events in the order of time, the steps of each part below it, the sums at the top, and its
    recorded traces, as addresses where `trace_url` says how one is found."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(_headline(view), style="bold"))
    tree.add(Text(_sums(view)))
    for trace_id in view.trace_ids:
        tree.add(Text(f"trace {trace_id}" if trace_url is None else trace_url.replace(TRACE_ID, trace_id), style="dim"))
    for item in _in_order(view):
        offset = f"+{duration((_began(item) - view.began_at).total_seconds()):<8}"
        if isinstance(item, Entry):
            tree.add(Text(f"{offset} {_event(item)}", style="dim"))
            continue
        branch = tree.add(Text(f"{offset} {item.name}{'' if item.task_id is None else f'  {item.task_id}'}"))
        for step in item.steps:
            branch.add(Text(_step(step), style=STYLES[step.kind]))
    return tree


def _in_order(view: TimelineView) -> Iterator[Entry | Part]:
    """Events of tasks are shown by their parts' steps."""
    own = [entry for entry in view.entries if entry.context == "requests"]
    items: list[Entry | Part] = [*own, *view.parts]
    yield from sorted(items, key=lambda item: (_began(item), isinstance(item, Part)))


def _began(item: Entry | Part) -> datetime:
    return item.at if isinstance(item, Entry) else item.began_at


def _headline(view: TimelineView) -> str:
    sums = view.totals
    state = "so far" if view.ended_at is None else "in all"
    return f"{view.request_id}: {duration(sums.seconds)} {state}"


def _sums(view: TimelineView) -> str:
    sums = view.totals
    spent = (
        ("work", sums.work_seconds),
        ("waited for agents", sums.waiting_for_agent_seconds),
        ("waited for people", sums.waiting_for_person_seconds),
        ("on the way", sums.other_seconds),
    )
    used = _used(sums.input_tokens, sums.output_tokens, sums.cost)
    attempts = f"{sums.attempts} attempt{'' if sums.attempts == 1 else 's'}"
    return " · ".join([*(f"{name} {duration(seconds)}" for name, seconds in spent), attempts, *used])


def _event(entry: Entry) -> str:
    what = "" if entry.what is None else f"  {entry.what}"
    return f"{entry.event}{what}  by {entry.by}"


def _step(step: Step) -> str:
    about = [f"{WORDS[step.kind]} {duration(step.seconds)}"]
    if step.attempt is not None:
        about.append(f"attempt {step.attempt}")
    if step.agent_id is not None:
        about.append(step.agent_id)
    if step.model is not None:
        about += [step.model, *_used(step.input_tokens, step.output_tokens, step.cost)]
    if step.ended_at is None:
        about.append("goes on")
    elif step.outcome is not None:
        by = "" if step.by is None else f" by {step.by}"
        about.append(f"{step.outcome}{by}{'' if step.reason is None else f': {step.reason}'}")
    return " · ".join(about)


def _used(input_tokens: int, output_tokens: int, cost: Decimal) -> list[str]:
    """Nothing where no model was called."""
    if not input_tokens and not output_tokens and not cost:
        return []
    return [f"{input_tokens}+{output_tokens} tokens", f"${cost:f}"]


def duration(seconds: float) -> str:
    """A span as people read it: 41 ms, 2.96 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = int(seconds)
    for size, unit, smaller, smaller_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"
