"""Reads a message of any version: old shapes are lifted to today's, then decoded; used wherever message bytes are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import from_json, to_json

from contracts.message import Command, Event, UndecodableMessage
from contracts.registry import COMMANDS, EVENTS, REJECTIONS

__all__ = [
    "UPCASTERS",
    "UndecodableMessage",
    "UnknownMessageType",
    "Upcasters",
    "check_chains",
    "decode_command",
    "decode_event",
    "upcast",
]

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
Upcasters = Mapping[str, tuple[str, Upcast]]
"""Old type name -> (the next newer type name, old fields -> new fields)."""

UPCASTERS: Upcasters = MappingProxyType({})
_EVENTS_AND_REJECTIONS: Mapping[str, type[Event]] = {**EVENTS, **REJECTIONS}


class UnknownMessageType(Exception):
    """No class and no upcaster knows this type name."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"unknown message type {type_name}")
        self.type_name = type_name


def check_chains(upcasters: Upcasters, known: Mapping[str, object]) -> None:
    """Raises TypeError for an upcaster that starts at a current name, runs in a circle, or ends at an unknown name."""
    for old in upcasters:
        if old in known:
            raise TypeError(f"{old} is a current type name: it needs no upcaster")
        name, steps = old, 0
        while name in upcasters:
            name, steps = upcasters[name][0], steps + 1
            if steps > len(upcasters):
                raise TypeError(f"the upcasters from {old} run in a circle")
        if name not in known:
            raise TypeError(f"the upcasters from {old} end at the unknown type name {name}")


check_chains(UPCASTERS, {**COMMANDS, **_EVENTS_AND_REJECTIONS})


def upcast(type_name: str, data: bytes, upcasters: Upcasters = UPCASTERS) -> tuple[str, bytes]:
    """The message in its newest form; a current name is answered as it came, without a look at its data."""
    if type_name not in upcasters:
        return type_name, data
    try:
        fields = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise UndecodableMessage("the value is not JSON in UTF-8") from error
    if not isinstance(fields, dict):
        raise UndecodableMessage("the value is not a JSON object")
    while type_name in upcasters:
        type_name, lift = upcasters[type_name]
        fields = lift(fields)
    return type_name, to_json(fields)


def decode_event(type_name: str, data: bytes, upcasters: Upcasters = UPCASTERS) -> Event:
    """The event or rejection in these bytes. Raises UnknownMessageType, UndecodableMessage or pydantic.ValidationError."""
    if type_name in upcasters:
        type_name, data = upcast(type_name, data, upcasters)
    event_class = _EVENTS_AND_REJECTIONS.get(type_name)
    if event_class is None:
        raise UnknownMessageType(type_name)
    return event_class.from_json(data)


def decode_command(type_name: str, data: bytes, upcasters: Upcasters = UPCASTERS) -> Command:
    """The command in these bytes. Raises UnknownMessageType, UndecodableMessage or pydantic.ValidationError."""
    if type_name in upcasters:
        type_name, data = upcast(type_name, data, upcasters)
    command_class = COMMANDS.get(type_name)
    if command_class is None:
        raise UnknownMessageType(type_name)
    return command_class.from_json(data)
