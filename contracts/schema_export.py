"""The JSON Schema (2020-12) of every message, with an example: classes in, dicts by path out; written by `python -m infra.asyncapi`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel

from contracts.agents import examples as agents_examples
from contracts.customers import examples as customers_examples
from contracts.fleet import EXAMPLES as FLEET_EXAMPLES
from contracts.fleet import FLEET_MESSAGES
from contracts.message import Command, Message
from contracts.registry import COMMANDS, EVENTS, REJECTIONS
from contracts.rejections import CommandRejected
from contracts.requests import examples as requests_examples
from contracts.tasks import examples as tasks_examples
from contracts.tenants import examples as tenants_examples

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REJECTED_EXAMPLE: Mapping[str, Any] = {
    "tenant_id": "acme",
    "aggregate_id": "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b",
    "command_id": "0b9c2f9e-6a0b-4f5e-8d4d-2f1f6f0c7a55",
    "command_type": "agentmesh.requests.TriageRequest.v1",
    "error_type": "BusinessRuleViolation",
    "code": "BUSINESS_RULE_VIOLATION",
    "message": "Only a pending request can be triaged.",
    "details": {"rule": "triage_requires_pending", "status": "completed"},
}
EXAMPLES: Mapping[type[Message], Mapping[str, Any]] = {
    **requests_examples.EXAMPLES,
    **tasks_examples.EXAMPLES,
    **agents_examples.EXAMPLES,
    **customers_examples.EXAMPLES,
    **tenants_examples.EXAMPLES,
    CommandRejected: _REJECTED_EXAMPLE,
}


def all_messages() -> Iterator[tuple[str, type[Message]]]:
    """Every type name of the mesh with its class: commands, events, rejections."""
    yield from COMMANDS.items()
    yield from EVENTS.items()
    yield from REJECTIONS.items()


def is_command(message_class: type[Message]) -> bool:
    """Commands are what others send to us; events and rejections are what we send."""
    return issubclass(message_class, Command)


def schema_path(type_name: str) -> PurePosixPath:
    """`agentmesh.requests.CreateRequest.v1` -> `requests/CreateRequest.v1.json`."""
    _, context, name, version = type_name.split(".")
    return PurePosixPath(context, f"{name}.{version}.json")


def message_schema(type_name: str, message_class: type[Message]) -> dict[str, Any]:
    """The schema of one message, as it is published."""
    return _schema(type_name, message_class, EXAMPLES[message_class])


def _schema(type_name: str, model: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    generated = model.model_json_schema(mode="validation", by_alias=True)
    return {"$schema": DIALECT, "$id": f"urn:{type_name.replace('.', ':')}", **generated, "examples": [dict(example)]}


def message_schemas() -> dict[PurePosixPath, dict[str, Any]]:
    """Every schema by its path under contracts/schemas."""
    messages = {schema_path(name): message_schema(name, message_class) for name, message_class in all_messages()}
    return messages | {schema_path(name): _schema(name, model, FLEET_EXAMPLES[model]) for name, model in FLEET_MESSAGES.items()}
