"""Makes a span of each reaction of a process manager that leads to commands, and hands it to them as their parent; used by the process
manager worker."""

from __future__ import annotations

from contracts.envelope import RecordedEvent
from contracts.rejections import rejected_type
from contracts.topics import events_topic, rejections_topic
from infra.process_managers.base import NextCommand, ProcessManager
from infra.telemetry import names
from infra.telemetry.tracing import Tracing, child_traceparent


class TracedProcess:
    """A process manager whose reactions are traced, those that it names by their names. What follows from its commands, agents' work too,
    is traced under the span (OBS-10)."""

    def __init__(self, manager: ProcessManager, tracing: Tracing, topic_prefix: str = "") -> None:
        self.name = manager.name
        self._manager = manager
        self._tracing = tracing
        self._group = f"{topic_prefix}agentmesh.{manager.name}"
        self._prefix = topic_prefix
        self._named = {kind.type_name: (span, kind.aggregate_field.replace("_id", ".id")) for kind, span in manager.spans.items()}

    def changes(self, recorded: RecordedEvent) -> list[NextCommand]:
        """As the process manager's."""
        commands = self._manager.changes(recorded)
        if not commands or not self._tracing.enabled:
            return commands
        event = recorded.metadata
        name, attribute = self._named.get(event.type_name, (None, names.CLOUDEVENTS_EVENT_SUBJECT))
        topic_of = rejections_topic if event.type_name == rejected_type(recorded.context) else events_topic
        known = {
            names.MESSAGING_CONSUMER_GROUP_NAME: self._group,
            names.MESSAGING_MESSAGE_ID: event.message_id,
            names.MESSAGING_CONVERSATION_ID: event.correlation_id,
            names.CLOUDEVENTS_EVENT_TYPE: event.type_name,
            attribute: recorded.aggregate_id,
        }
        topic = self._prefix + topic_of(recorded.context)
        with self._tracing.message_span(names.OPERATION_PROCESS, topic, event.traceparent, known, name=name) as span:
            traceparent = child_traceparent(span, event.traceparent)
        return [NextCommand(command, metadata._replace(traceparent=traceparent)) for command, metadata in commands]
