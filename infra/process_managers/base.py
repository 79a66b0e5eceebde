"""What a process manager is: pure reactions from events, and rejections of its commands, to the next commands; contexts declare theirs.

A reaction sees one event and nothing else, so events carry what the next step needs. Whatever is delivered twice leads to the same
commands under the same ids, which their inbox absorbs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from contracts.envelope import Metadata, RecordedEvent
from contracts.ids import CommandId, derived_uuid
from contracts.message import Command, Event
from contracts.registry import EVENTS
from contracts.rejections import CommandRejected

# The namespace of derived command ids. Never changes: a redelivery across a release must lead to the same ids.
COMMAND_IDS = UUID("6f4f2f0e-6d3c-5b53-9a3e-2f6f0f6b7c11")
AUTH_TYPE = "system"


class Reaction(NamedTuple):
    """A named function from one event to commands. The name is part of the command ids: renaming the function is free, this is not."""

    name: str
    react: Callable[[RecordedEvent, Any], Sequence[Command]]


class NextCommand(NamedTuple):
    """A command to publish, with its envelope."""

    command: Command
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class ProcessManager:
    """A process manager as data. `name` is its worker's: it names its checkpoints, its group, and the actor of its commands."""

    name: str
    contexts: tuple[str, ...]
    """Whose events it follows."""
    reactions: Mapping[type[Event], tuple[Reaction, ...]]
    commanded: tuple[str, ...] = ()
    """Whose rejections it follows: the contexts that it commands."""
    on_rejection: Mapping[str, Reaction] | None = None
    """By the type name of the refused command; `""` is for all others. Only rejections of its own commands are reacted to."""
    spans: Mapping[type[Event], str] = field(default_factory=dict)
    """Spans around the reactions to these events, by name; the commands are their children."""
    _unused: frozenset[str] = field(init=False, repr=False, compare=False)
    """Names of events that need not be decoded, which is most of what an event costs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_unused", frozenset(name for name, event in EVENTS.items() if event not in self.reactions))

    def changes(self, recorded: RecordedEvent) -> list[NextCommand]:
        """The commands that follow from one event. Raises what decoding or a reaction raises: a defect."""
        if recorded.metadata.type_name in self._unused:
            return []
        event = recorded.event()
        return [
            NextCommand(command, self._metadata(recorded, reaction.name, index, command))
            for reaction in self._reactions_to(recorded, event)
            for index, command in enumerate(reaction.react(recorded, event))
        ]

    def _reactions_to(self, recorded: RecordedEvent, event: Event) -> tuple[Reaction, ...]:
        if not isinstance(event, CommandRejected):
            return self.reactions.get(type(event), ())
        if recorded.metadata.source != self.source or self.on_rejection is None:
            return ()
        reaction = self.on_rejection.get(event.command_type) or self.on_rejection.get("")
        return () if reaction is None else (reaction,)

    @property
    def source(self) -> str:
        """The `ce_source` of its commands."""
        return f"/agentmesh/{self.name}"

    def _metadata(self, recorded: RecordedEvent, reaction: str, index: int, command: Command) -> Metadata:
        cause = recorded.metadata
        return Metadata(
            message_id=derived_command_id(cause.message_id, reaction, index),
            type_name=command.type_name,
            source=self.source,
            subject=command.aggregate_id,
            time=cause.time,
            tenant_id=command.tenant_id,
            auth_type=AUTH_TYPE,
            auth_id=self.name,
            correlation_id=cause.correlation_id,
            causation_id=cause.message_id,
            traceparent=cause.traceparent,
            tracestate=cause.tracestate,
        )


def derived_command_id(event_id: str, reaction: str, index: int) -> CommandId:
    """uuid5 over event, reaction and place among the reaction's commands (RUNTIME 5)."""
    return CommandId(derived_uuid(COMMAND_IDS, f"{event_id}/{reaction}/{index}"))
