"""The channels of the AsyncAPI document whose messages are no message of a context's own topics: work topics and the fleet topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.fleet import EXAMPLES, FLEET_MESSAGES
from contracts.registry import EVENTS
from contracts.topics import WORK_EVENTS

Document = dict[str, Any]
WORK_CHANNEL = "work"
"""Its address has a parameter, which must not stand in a reference."""
DEFINITIONS = "#/components/schemas/{model}"


def work_messages() -> dict[str, str]:
    """The components of the events on a work topic, by their short name, with the type name of the event."""
    return {f"work.{EVENTS[name].__name__}": name for name in sorted(WORK_EVENTS)}


def work_parameters() -> Document:
    """What the address of a work topic leaves open."""
    return {"kind": {"description": "The kind of agents whose hosts consume it: [a-z][a-z0-9-]{0,39}."}}


def fleet_messages() -> list[str]:
    """The components of the fleet topic's messages."""
    return [f"fleet.{model.__name__}" for model in FLEET_MESSAGES.values()]


def fleet_message(short_name: str, key: Document) -> Document:
    """A message of the fleet topic."""
    model = next(each for each in FLEET_MESSAGES.values() if f"fleet.{each.__name__}" == short_name)
    return {
        "name": model.type_name,
        "title": model.__name__,
        "summary": (model.__doc__ or "").strip(),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/CommandHeaders"}],
            "properties": {"ce_type": {"const": model.type_name}},
        },
        "payload": {"$ref": DEFINITIONS.format(model=model.__name__)},
        "bindings": {"kafka": key},
        "examples": [{"name": model.__name__, "payload": dict(EXAMPLES[model])}],
    }


def fleet_schemas() -> Mapping[str, Document]:
    """The payloads of the fleet topic and what they are made of."""
    found: dict[str, Document] = {}
    for model in FLEET_MESSAGES.values():
        schema = model.model_json_schema(ref_template=DEFINITIONS)
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found
