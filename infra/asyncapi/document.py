"""One AsyncAPI 3.0.0 document for the whole mesh: the contracts in, a plain dict out; run by `python -m infra.asyncapi` and by tests.

FastStream describes the payloads, from a broker that is never started and has one typed stub for each message: the real workers take
batches of raw records, which FastStream can only describe as lists of anything. What FastStream cannot know (one channel for each topic,
headers, topic settings) is put around its payloads here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from faststream.kafka import KafkaBroker
from faststream.specification.asyncapi import AsyncAPI

from contracts.message import Message
from contracts.registry import EVENTS, REJECTIONS, commands_of, events_of
from contracts.rejections import rejected_type
from contracts.schema_export import EXAMPLES, is_command
from contracts.topics import (
    CONTEXTS,
    FLEET_TOPIC,
    TopicSpec,
    commands_topic,
    dead_letters_topic,
    events_topic,
    rejections_topic,
    topics,
    work_topic_spec,
)
from infra.asyncapi.fleet import WORK_CHANNEL, fleet_message, fleet_messages, fleet_schemas, work_messages, work_parameters
from infra.asyncapi.headers import command_headers_schema, dead_letter_headers_schema, event_headers_schema

BINDING_VERSION = "0.5.0"
CORRELATION_ID = {"location": "$message.header#/ce_correlationid"}
Document = dict[str, Any]
Messages = dict[str, type[Message]]


def build_document() -> Document:
    """The document, the same for the same contracts."""
    channels: dict[str, Messages] = {}
    for context in CONTEXTS:
        channels[commands_topic(context)] = dict(commands_of(context))
        channels[events_topic(context)] = dict(events_of(context))
        channels[rejections_topic(context)] = {rejected_type(context): REJECTIONS[rejected_type(context)]}
    described = _described_by_faststream(channels)
    specs = {spec.name: spec for spec in topics()}
    dead_letters = [dead_letters_topic(context) for context in CONTEXTS]
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": described["servers"],
        "channels": {
            **{topic: _channel(specs[topic], _short_names(messages)) for topic, messages in channels.items()},
            **{topic: _channel(specs[topic], ["DeadLetter"]) for topic in dead_letters},
            WORK_CHANNEL: {**_channel(work_topic_spec("{kind}"), list(work_messages())), "parameters": work_parameters()},
            FLEET_TOPIC: _channel(specs[FLEET_TOPIC], fleet_messages()),
        },
        "operations": {
            **{topic: _operation(topic, _action(messages), _short_names(messages)) for topic, messages in channels.items()},
            **{topic: _operation(topic, "send", ["DeadLetter"]) for topic in dead_letters},
            WORK_CHANNEL: _operation(WORK_CHANNEL, "send", list(work_messages())),
            FLEET_TOPIC: _operation(FLEET_TOPIC, "send", fleet_messages()),
        },
        "components": {
            "messages": {
                **{_short_name(name): _message(name, each) for messages in channels.values() for name, each in messages.items()},
                **{short: _work_message(name) for short, name in work_messages().items()},
                **{short: fleet_message(short, _key("The host's id; of a probe one of the partition.")) for short in fleet_messages()},
                "DeadLetter": _dead_letter(),
            },
            "schemas": {
                "CommandHeaders": command_headers_schema(),
                "EventHeaders": event_headers_schema(),
                "DeadLetterHeaders": dead_letter_headers_schema(),
                **dict(sorted({**described["components"]["schemas"], **fleet_schemas()}.items())),
            },
        },
    }


def _info() -> Document:
    return {
        "title": "AgentMesh",
        "version": "1.0.0",
        "description": "Publish commands, subscribe to events: CloudEvents 1.0 on Kafka in binary mode (structured mode is read too). "
        "The record's key is the aggregate's id. Each accepted command ends in events, in nothing to change, or in one rejection. "
        "Delivery is at least once. Subscribers ignore fields that they do not know.",
        "license": {"name": "Apache-2.0"},
    }


def _described_by_faststream(channels: dict[str, Messages]) -> Document:
    broker = KafkaBroker("localhost:9092", description="Where KAFKA_BOOTSTRAP_SERVERS points to.")
    for topic, messages in channels.items():
        for name, message_class in messages.items():
            if is_command(message_class):
                broker.subscriber(topic, title=name)(_stub(message_class))
            else:
                broker.publisher(topic, title=name, schema=message_class)
    described: Document = json.loads(AsyncAPI(broker, schema_version="3.0.0").to_specification().to_json())
    return described


def _stub(message_class: type[Message]) -> Any:
    """A handler that exists for its signature alone."""

    async def handle(message: Any) -> None:
        raise AssertionError(f"the stub for {message.type_name} is never called")

    handle.__annotations__ = {"message": message_class, "return": None}
    return handle


def _short_name(type_name: str) -> str:
    """The component's name: the type name without the product's own, because components are one flat list."""
    return type_name.removeprefix("agentmesh.")


def _short_names(messages: Iterable[str]) -> list[str]:
    return [_short_name(name) for name in messages]


def _action(messages: Messages) -> str:
    """Seen from the mesh: it receives commands and sends everything else."""
    return "receive" if all(is_command(each) for each in messages.values()) else "send"


def _channel(spec: TopicSpec, message_names: list[str]) -> Document:
    configuration = {
        "cleanup.policy": [spec.cleanup_policy],
        "retention.ms": spec.retention_ms,
        "max.message.bytes": int(spec.config["max.message.bytes"]),
    }
    return {
        "address": spec.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in message_names},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operation(topic: str, action: str, message_names: list[str]) -> Document:
    channel = f"#/channels/{topic}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in message_names],
    }


def _message(type_name: str, message_class: type[Message]) -> Document:
    headers = "CommandHeaders" if is_command(message_class) else "EventHeaders"
    return {
        "name": type_name,
        "title": message_class.__name__,
        "summary": (message_class.__doc__ or "").strip(),
        "contentType": "application/json",
        "correlationId": CORRELATION_ID,
        "headers": {
            "type": "object",
            "allOf": [{"$ref": f"#/components/schemas/{headers}"}],
            "properties": {"ce_type": {"const": type_name}},
        },
        "payload": {"$ref": f"#/components/schemas/{message_class.__name__}"},
        "bindings": {"kafka": _key("The aggregate's id.")},
        "examples": [{"name": message_class.__name__, "payload": dict(EXAMPLES[message_class])}],
    }


def _work_message(type_name: str) -> Document:
    """An event as it also goes to the hosts of a kind: the same but for its key."""
    key = _key("The id of the agent that has or had the task.")
    return {**_message(type_name, EVENTS[type_name]), "bindings": {"kafka": key}}


def _dead_letter() -> Document:
    return {
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "A copy of a record that is parked: its own key, value and headers, with the headers of the failure added.",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "payload": {"description": "The value of the original record, byte for byte."},
        "bindings": {"kafka": _key("The key of the original record.")},
    }


def _key(description: str) -> Document:
    return {"key": {"type": "string", "description": description}, "bindingVersion": BINDING_VERSION}
