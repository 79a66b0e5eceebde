"""The record of a refused command: which one, why, and what its sender can do; one shape for the rejections of all contexts."""

from __future__ import annotations

from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ConfigDict, Field

from contracts.ids import CommandId, EventId, derived_uuid
from contracts.json_object import EMPTY, JsonObject
from contracts.message import Event


class CommandRejected(Event):
    """A command was refused and changed nothing; recorded exactly once. Its type name on the wire is its context's `rejected_type`."""

    model_config = ConfigDict(serialize_by_alias=True)

    type_name: ClassVar[str] = "agentmesh.CommandRejected.v1"
    context: ClassVar[str] = ""
    aggregate_field: ClassVar[str] = "refused_id"

    refused_id: str = Field(alias="aggregate_id", description="The aggregate that the command was meant for.")
    command_id: CommandId
    command_type: str
    error_type: str
    code: str
    message: str
    details: JsonObject = EMPTY


def rejected_type(context: str) -> str:
    """The type name of a context's rejections."""
    return f"agentmesh.{context}.CommandRejected.v1"


def rejection_id(command_id: str) -> EventId:
    """The id of the one rejection that a command can have. Command ids are free text: what is no UUID is made into one first."""
    try:
        namespace = UUID(command_id)
    except ValueError:
        namespace = uuid5(NAMESPACE_URL, command_id)
    if str(namespace) != command_id:  # other spellings of the same UUID are other command ids
        namespace = uuid5(NAMESPACE_URL, command_id)
    return EventId(derived_uuid(namespace, "rejected"))
