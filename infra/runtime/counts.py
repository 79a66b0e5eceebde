"""Counts what a command worker has committed: decisions in, metrics out; every series that is known before begins at 0, so that a rate over
it is 0 and not unknown. Used by the batch processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contracts.registry import events_of
from infra.event_store.base import OutcomeKind
from infra.runtime.base import Measured
from infra.runtime.decide import Decision
from infra.telemetry.bounded import exemplar_of
from infra.telemetry.metrics import Metrics

RETRIED = ("load", "append", "decide")
SAME, DIFFERENT = "same", "different"
# The codes of every context; those of single rules begin with their first refusal.
REFUSALS = ("VALIDATION_ERROR", "BUSINESS_RULE_VIOLATION", "RESOURCE_NOT_FOUND", "CONCURRENCY_CONFLICT")


class CommandCounts:
    """The counters of one context's commands and events."""

    def __init__(self, metrics: Metrics, context: str, topic: str, measured: Mapping[Measured, Sequence[str]]) -> None:
        self._metrics = metrics
        self._topic = topic
        self._handled = {kind: metrics.commands_handled_total.labels(topic=topic, outcome=kind.value) for kind in OutcomeKind}
        self._duplicates = {
            payload: metrics.duplicates_absorbed_total.labels(topic=topic, payload=payload) for payload in (SAME, DIFFERENT)
        }
        self._parked = metrics.dead_letters_total.labels(topic=topic)
        self._appended: dict[str, Any] = {name: self._of_type(name) for name in events_of(context)}
        self._durations: Mapping[Measured, Any] = {
            Measured.REQUEST_DURATION: metrics.request_duration_seconds,
            Measured.APPROVAL_WAIT: metrics.approval_wait_seconds,
        }
        for what, labels in measured.items():
            for label in labels:
                self._durations[what].labels(label)
        metrics.dlq_requeued_total.labels(topic=topic)
        for name in RETRIED:
            metrics.retries_total.labels(name=name)
        for code in REFUSALS:
            metrics.commands_rejected_total.labels(topic=topic, code=code)

    def _of_type(self, type_name: str) -> Any:
        return self._metrics.events_appended_total.labels(type=type_name.split(".")[2])

    def written(self, decisions: Iterable[Decision]) -> None:
        """These are in the store now."""
        kinds: Counter[OutcomeKind] = Counter()
        types: Counter[str] = Counter()
        for decision in decisions:
            for outcome in decision.append.outcomes:
                kinds[outcome.kind] += 1
                if outcome.kind is OutcomeKind.REJECTED:
                    self._metrics.commands_rejected_total.labels(topic=self._topic, code=outcome.code).inc()
            types.update(event.type_name for event in decision.append.events)
            trace = exemplar_of(decision.after.trace) if decision.durations else None
            for measured, label, seconds in decision.durations:
                self._durations[measured].labels(label).observe(max(0.0, seconds), trace)
            for _, differs in decision.duplicates:
                self._duplicates[DIFFERENT if differs else SAME].inc()
        for kind, count in kinds.items():
            self._handled[kind].inc(count)
        for type_name, count in types.items():
            (self._appended.get(type_name) or self._of_type(type_name)).inc(count)
        self._parked.inc(kinds[OutcomeKind.PARKED])
