"""All messages by type name, gathered from the contexts; decoders, documentation and workers look classes up here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from contracts.agents import commands as agents_commands
from contracts.agents import events as agents_events
from contracts.customers import commands as customers_commands
from contracts.customers import events as customers_events
from contracts.message import Command, Event, Message
from contracts.rejections import CommandRejected, rejected_type
from contracts.requests import commands as requests_commands
from contracts.requests import events as requests_events
from contracts.tasks import commands as tasks_commands
from contracts.tasks import events as tasks_events
from contracts.tenants import commands as tenants_commands
from contracts.tenants import events as tenants_events
from contracts.topics import CONTEXTS

M = TypeVar("M", bound=Message)


def by_type_name(classes: Iterable[type[M]]) -> Mapping[str, type[M]]:
    """The classes by type name, read-only. Raises TypeError when two share a name."""
    found: dict[str, type[M]] = {}
    for each in classes:
        if each.type_name in found:
            raise TypeError(f"{each.__qualname__} and {found[each.type_name].__qualname__} share the type name {each.type_name}")
        found[each.type_name] = each
    return MappingProxyType(found)


_COMMANDS = (requests_commands, tasks_commands, agents_commands, customers_commands, tenants_commands)
_EVENTS = (requests_events, tasks_events, agents_events, customers_events, tenants_events)

COMMANDS: Mapping[str, type[Command]] = by_type_name([each for module in _COMMANDS for each in module.COMMANDS])
EVENTS: Mapping[str, type[Event]] = by_type_name([each for module in _EVENTS for each in module.EVENTS])
REJECTIONS: Mapping[str, type[Event]] = MappingProxyType({rejected_type(context): CommandRejected for context in CONTEXTS})


def commands_of(context: str) -> Mapping[str, type[Command]]:
    """The commands that a context takes."""
    return MappingProxyType({name: each for name, each in COMMANDS.items() if each.context == context})


def events_of(context: str) -> Mapping[str, type[Event]]:
    """The domain events that a context publishes; its rejections are not among them."""
    return MappingProxyType({name: each for name, each in EVENTS.items() if each.context == context})
