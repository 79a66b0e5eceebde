"""Makes commands by hand and publishes them over Kafka, with the headers of the contract; used by `publish` and `demo`."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from contracts.envelope import Metadata, command_headers
from contracts.ids import new_agent_id, new_command_id, new_customer_id, new_request_id, new_task_id, new_thread_id
from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL, Command
from contracts.registry import COMMANDS
from contracts.topics import BROKER_MAX_MESSAGE_BYTES, commands_topic
from infra.kafka.producer import OutgoingRecord
from infra.settings import MeshSettings
from services.cli.errors import WrongUsage

SOURCE = "/agentmesh/cli"
DEFAULT_TENANT = "default"
# Commands that begin an aggregate: only their aggregate id can be made up here.
BEGINNINGS = ("Create", "Register")
NEW_IDS = {
    "request_id": new_request_id,
    "customer_id": new_customer_id,
    "thread_id": new_thread_id,
    "agent_id": new_agent_id,
    "task_id": new_task_id,
}
# What one record may hold, headers and the batch around it left aside.
MOST_BYTES = BROKER_MAX_MESSAGE_BYTES - 128 * 1024


@dataclass(frozen=True, slots=True)
class OutgoingCommand:
    """A command ready to be published."""

    context: str
    aggregate_id: str
    aggregate_field: str
    command_id: str
    tenant_id: str
    type_name: str
    record: OutgoingRecord


def operating_user() -> str:
    """Who types: the operating system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        return "unknown"


def checked_actor(name: str) -> str:
    """The name, as a header can hold it. Raises WrongUsage."""
    if len(name) > MAX_ID_CHARACTERS or not re.match(NO_CONTROL, name):
        raise WrongUsage(f"--as: a name has 1 to {MAX_ID_CHARACTERS} characters and no control characters.")
    return name


def command_type(name: str) -> type[Command]:
    """The command of a full type name, or of a class name that only one context has. Raises WrongUsage with the names there are."""
    if name in COMMANDS:
        return COMMANDS[name]
    found = [each for each in COMMANDS.values() if each.__name__ == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise WrongUsage(f"{name} is a command of several contexts. Write one of: {', '.join(each.type_name for each in found)}.")
    raise WrongUsage(f"There is no command {name!r}. Choose of: {', '.join(sorted(each.__name__ for each in COMMANDS.values()))}.")


def parse_payload(text: str) -> dict[str, Any]:
    """The JSON object in a text. Raises WrongUsage."""
    try:
        payload = json.loads(text)
    except ValueError as error:
        raise WrongUsage(f"The payload is not JSON: {error}.") from None
    except RecursionError:
        raise WrongUsage("The payload is not JSON that can be read: it is nested too deep.") from None
    if not isinstance(payload, dict):
        raise WrongUsage(f"The payload is not a JSON object but {type(payload).__name__}.")
    return payload


def complete_payload(command: type[Command], payload: Mapping[str, Any], *, tenant: str | None, key: str | None) -> dict[str, Any]:
    """The payload with `tenant_id` and, for a command that begins an aggregate, its id. Raises WrongUsage for what contradicts itself."""
    given = payload.get("tenant_id")
    if tenant is not None and given is not None and tenant != given:
        raise WrongUsage(f"--tenant {tenant} contradicts the payload's tenant_id {given!r}. Leave one out.")
    completed = {"tenant_id": tenant or DEFAULT_TENANT, **payload}
    field = command.aggregate_field
    if field not in completed:
        if key is None and not command.__name__.startswith(BEGINNINGS):
            raise WrongUsage(f"{command.__name__} needs {field}: put it into the payload, or give --key.")
        make = NEW_IDS.get(field)
        completed[field] = key or (make() if make is not None else str(uuid4()))
    if completed[field] in ("", None):
        raise WrongUsage(f"{field} is empty: an outcome is recorded under the aggregate's id.")
    return completed


def outgoing_command(
    settings: MeshSettings,
    command: type[Command],
    payload: Mapping[str, Any],
    *,
    key: str | None = None,
    command_id: str | None = None,
    actor: str | None = None,
) -> OutgoingCommand:
    """A command as the CLI sends it; the payload is sent as it is, its mistakes are the context's to refuse. Raises WrongUsage."""
    field = command.aggregate_field
    return outgoing_of_type(settings, command.context, command.type_name, field, payload, key=key, command_id=command_id, actor=actor)


def outgoing_of_type(
    settings: MeshSettings,
    context: str,
    type_name: str,
    aggregate_field: str,
    payload: Mapping[str, Any],
    *,
    key: str | None = None,
    command_id: str | None = None,
    actor: str | None = None,
) -> OutgoingCommand:
    """The same for a type that need not exist. The actor is the operating system's user where none is named."""
    aggregate_id = str(payload.get(aggregate_field, ""))
    message_id = command_id or new_command_id()
    tenant_id = str(payload.get("tenant_id", ""))
    metadata = command_metadata(type_name, message_id, aggregate_id, tenant_id, operating_user() if actor is None else checked_actor(actor))
    try:
        value = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise WrongUsage(f"The payload cannot be written as JSON in UTF-8: {error}.") from None
    if len(value) > MOST_BYTES:
        raise WrongUsage(f"The payload has {len(value)} bytes; the broker takes {MOST_BYTES}.")
    topic = settings.topic_prefix + commands_topic(context)
    record = OutgoingRecord(topic, (key or aggregate_id).encode(), value, command_headers(metadata))
    return OutgoingCommand(context, aggregate_id, aggregate_field, message_id, tenant_id, type_name, record)


def command_metadata(type_name: str, command_id: str, aggregate_id: str, tenant_id: str, user: str) -> Metadata:
    """The envelope of a command of this user. It begins a trace where it is handled, if one is recorded there."""
    return Metadata(
        message_id=command_id,
        type_name=type_name,
        source=SOURCE,
        subject=aggregate_id,
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        tenant_id=tenant_id,
        auth_type="user",
        auth_id=user,
        correlation_id=command_id,
        causation_id=command_id,
    )
