"""Compares the spans of one request with the histories of the request and of its tasks; no faults come out where they tell the same."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from contracts.envelope import RecordedEvent
from infra.telemetry.traceparent import Traceparent, parse_traceparent
from tests.otlp_receiver import ReceivedSpan

# Names that the conventions once had, beside those that the installed package calls replaced.
FORBIDDEN = frozenset(
    {
        "messaging.operation",
        "messaging.kafka.consumer.group",
        "messaging.kafka.destination.partition",
        "messaging.kafka.message.offset",
        "messaging.message.payload_size_bytes",
        "gen_ai.system",
    }
)
# Which event of the request leads to which: a task's queueing or a step of the request itself.
STEPS = {
    "RequestTriaged": "triage",
    "ApprovalRequested": "research",
    "ApprovalNotRequired": "research",
    "RequestCompleted": "resolution",
}
TASKS_OF = {"triage": ("RequestCreated",), "research": ("ResearchStarted",), "resolution": ("RequestApproved", "ApprovalNotRequired")}
PERSONS = frozenset({"RequestApproved", "RequestRejected"})
CLOCK_SECONDS = 0.05


class Step(NamedTuple):
    """One event, and the event that led to it: the event's span has to stand below that of the other."""

    event: RecordedEvent
    cause: RecordedEvent | None


def name_of(event: RecordedEvent) -> str:
    """RequestCreated"""
    return event.metadata.type_name.split(".")[2]


def steps(request: Sequence[RecordedEvent], tasks: Mapping[str, Sequence[RecordedEvent]]) -> list[Step]:
    """The history of a request and of its tasks (by type of task), each event with its cause."""
    by_name = {name_of(event): event for event in request}
    found = []
    for before, event in zip([None, *request[:-1]], request, strict=True):
        name = name_of(event)
        if name in STEPS:
            found.append(Step(event, tasks[STEPS[name]][-1]))
        else:
            found.append(Step(event, None if name in PERSONS else before))
    for task_type, stream in tasks.items():
        queued = next(by_name[name] for name in TASKS_OF[task_type] if name in by_name)
        found.append(Step(stream[0], queued))
        found += [Step(event, _cause_in(stream[:at])) for at, event in enumerate(stream) if at]
    return found


def _cause_in(before: Sequence[RecordedEvent]) -> RecordedEvent:
    """What the last of these events waits for: the assignment that is answered, or the queueing that is served."""
    return next(event for event in reversed(before) if name_of(event) != "TaskStarted")


class Checker:
    """The spans of one run, and what is wrong with them."""

    def __init__(self, spans: Iterable[ReceivedSpan], *, seconds: float, foreign: Iterable[str] = ()) -> None:
        self._spans = list(spans)
        self._by_id = {span.span_id: span for span in self._spans}
        self._seconds = seconds
        self._foreign = frozenset(foreign)

    def faults(self, request: Sequence[RecordedEvent], tasks: Mapping[str, Sequence[RecordedEvent]]) -> list[str]:
        """Everything that is wrong, in words."""
        told = [*self._of_spans(), *self._of_decisions(request), *self._of_runs(request, tasks)]
        for step in steps(request, tasks):
            told += self._of_step(step)
        return told

    # --- every span -----------------------------------------------------------------------------------------------------

    def _of_spans(self) -> Iterator[str]:
        if len(self._by_id) != len(self._spans):
            yield "a span came twice"
        old = FORBIDDEN | replaced_names()
        for span in self._spans:
            parent = self._by_id.get(span.parent_id)
            if span.parent_id and span.parent_id not in self._foreign:
                if parent is None:
                    yield f"{span.name} {span.span_id} is an orphan: its parent {span.parent_id} never came"
                elif parent.trace_id != span.trace_id:
                    yield f"{span.name} {span.span_id} is in another trace than its parent"
                elif span.began < parent.began - CLOCK_SECONDS:
                    yield f"{span.name} {span.span_id} began before its parent"
            if not 0 <= span.seconds <= self._seconds:
                yield f"{span.name} {span.span_id} took {span.seconds:.1f} s, longer than the test"
            for name in sorted(old & set(span.attributes)):
                yield f"{span.name} has the attribute {name}, which the conventions have replaced"

    # --- events ---------------------------------------------------------------------------------------------------------

    def _of_step(self, step: Step) -> Iterator[str]:
        event, cause = step
        named = f"{name_of(event)} of {event.aggregate_id}"
        span = self._span_of(event)
        if span is None:
            yield f"the span of the command behind {named} never came"
            return
        expected = {"messaging.message.id": event.metadata.causation_id, "cloudevents.event_subject": event.aggregate_id}
        for name, value in expected.items():
            if span.attributes.get(name) != value:
                yield f"the span behind {named} has {name} {span.attributes.get(name)}, not {value}"
        if cause is not None and (above := self._span_of(cause)) is not None and above not in self.ancestors(span):
            yield f"the span behind {named} does not stand below that of {name_of(cause)}"

    def _of_decisions(self, request: Sequence[RecordedEvent]) -> Iterator[str]:
        first = _parsed(request[0])
        for event in request:
            span = self._span_of(event)
            if name_of(event) not in PERSONS or span is None:
                continue
            if span.trace_id == first.trace_id:
                yield f"{name_of(event)} stands in the trace of the request, which a person's wait would stretch"
            if (first.trace_id, first.span_id) not in span.links:
                yield f"{name_of(event)} is not linked to the trace of its request"

    def _span_of(self, event: RecordedEvent) -> ReceivedSpan | None:
        parsed = parse_traceparent(event.metadata.traceparent)
        found = None if parsed is None else self._by_id.get(parsed.span_id)
        return found if found is not None and parsed is not None and found.trace_id == parsed.trace_id else None

    def ancestors(self, span: ReceivedSpan) -> list[ReceivedSpan]:
        """The spans above one, the nearest first; ends at what never came, and at a circle."""
        above: list[ReceivedSpan] = []
        at = self._by_id.get(span.parent_id)
        while at is not None and at not in above:
            above.append(at)
            at = self._by_id.get(at.parent_id)
        return above

    # --- agents ---------------------------------------------------------------------------------------------------------

    def _of_runs(self, request: Sequence[RecordedEvent], tasks: Mapping[str, Sequence[RecordedEvent]]) -> Iterator[str]:
        for task_type, stream in tasks.items():
            assigned = [event for event in stream if name_of(event) == "TaskAssigned"]
            ends = [event for event in stream if name_of(event) in ("TaskReassigned", "TaskCompleted")]
            runs = sorted(
                (span for span in self._spans if span.attributes.get("agentmesh.task.id") == stream[0].aggregate_id),
                key=lambda span: int(span.attributes["agentmesh.task.attempt"]),
            )
            if [span.attributes["agentmesh.task.attempt"] for span in runs] != list(range(1, len(assigned) + 1)):
                yield f"{task_type} was assigned {len(assigned)} times and has {len(runs)} spans of attempts"
                continue
            for run, given, end in zip(runs, assigned, ends, strict=False):
                yield from self._of_run(run, task_type, given, end)
            if task_type in ("triage", "research"):
                yield from self._below_process_request(runs, request[0].aggregate_id, task_type)

    def _of_run(self, run: ReceivedSpan, task_type: str, given: RecordedEvent, end: RecordedEvent) -> Iterator[str]:
        if run.name != task_type or run.attributes.get("gen_ai.operation.name") != "invoke_agent":
            yield f"an attempt of {task_type} is called {run.name}"
        if (parent := self._span_of(given)) is not None and run.parent_id != parent.span_id:
            yield f"an attempt of {task_type} does not hang on its assignment"
        if run.error != (name_of(end) == "TaskReassigned"):
            yield f"an attempt of {task_type} that ended with {name_of(end)} {'has' if run.error else 'has no'} error"
        if (told := self._span_of(end)) is not None and run not in self.ancestors(told):
            yield f"{name_of(end)} of {task_type} does not stand below the attempt that told it"

    def _below_process_request(self, runs: Sequence[ReceivedSpan], request_id: str, task_type: str) -> Iterator[str]:
        for run in runs:
            above = [span for span in self.ancestors(run) if span.name == "process_request"]
            if [span.attributes.get("request.id") for span in above] != [request_id]:
                yield f"an attempt of {task_type} does not stand below process_request of {request_id}"


def _parsed(event: RecordedEvent) -> Traceparent:
    parsed = parse_traceparent(event.metadata.traceparent)
    assert parsed is not None, f"{name_of(event)} has no traceparent"
    return parsed


@cache
def replaced_names() -> frozenset[str]:
    """Attributes that the installed conventions call deprecated; those that only moved to another page keep their names."""
    package = importlib.import_module("opentelemetry.semconv._incubating.attributes")
    found = set()
    for module in pkgutil.iter_modules(package.__path__):
        tree = ast.parse(inspect.getsource(importlib.import_module(f"{package.__name__}.{module.name}")))
        for constant, told in zip(tree.body, tree.body[1:], strict=False):
            text = told.value.value if isinstance(told, ast.Expr) and isinstance(told.value, ast.Constant) else ""
            if not isinstance(constant, ast.AnnAssign) or not isinstance(constant.value, ast.Constant):
                continue
            if str(text).strip().startswith("Deprecated:") and "Moved to the" not in str(text):
                found.add(str(constant.value.value))
    return frozenset(found)
