"""Puts a span around the reactions that a process manager names spans for, and hands it to their commands as their parent; used by the
process manager worker."""

from __future__ import annotations

from contracts.envelope import RecordedEvent
from infra.process_managers.base import NextCommand, ProcessManager
from infra.telemetry import names
from infra.telemetry.tracing import Tracing, child_traceparent


class TracedProcess:
    """A process manager whose spans are recorded. What follows from its commands, agents' work too, is traced under the span (OBS-10)."""

    def __init__(self, manager: ProcessManager, tracing: Tracing) -> None:
        self.name = manager.name
        self._manager = manager
        self._tracing = tracing
        self._spans = {kind.type_name: (span, kind.aggregate_field.replace("_id", ".id")) for kind, span in manager.spans.items()}

    def changes(self, recorded: RecordedEvent) -> list[NextCommand]:
        """As the process manager's."""
        named = self._spans.get(recorded.metadata.type_name)
        if named is None or not self._tracing.enabled:
            return self._manager.changes(recorded)
        name, attribute = named
        parent = recorded.metadata.traceparent
        known = {attribute: recorded.aggregate_id}
        with self._tracing.message_span(names.OPERATION_PROCESS, self.name, parent, known, name=name) as span:
            traceparent = child_traceparent(span, parent)
            return [
                NextCommand(command, metadata._replace(traceparent=traceparent)) for command, metadata in self._manager.changes(recorded)
            ]
