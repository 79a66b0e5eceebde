"""The Kafka headers of commands, events and dead letters as JSON Schema; used by the AsyncAPI document."""

from __future__ import annotations

from typing import Any

from contracts.envelope import MAX_HEADER_BYTES, MAX_TRACESTATE_BYTES, SPEC_VERSION

Schema = dict[str, Any]


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "maxLength": MAX_HEADER_BYTES, "description": description, **more}


_TIME = "RFC 3339."
_AUTH = "user, service_account, api_key, system or agent; unknown where the sender did not say."
_TRACE: Schema = {
    "traceparent": _text("W3C Trace Context."),
    "tracestate": _text("W3C Trace Context.", maxLength=MAX_TRACESTATE_BYTES),
}


def command_headers_schema() -> Schema:
    """What a publisher of commands may send; ce_id and ce_type it must send."""
    return {
        "type": "object",
        "required": ["ce_id", "ce_type"],
        "properties": {
            "ce_specversion": _text("CloudEvents version.", const=SPEC_VERSION, default=SPEC_VERSION),
            "ce_id": _text("The command's id and idempotency key."),
            "ce_type": _text("The command's type name."),
            "ce_source": _text("Who sent it, a URI reference.", default="unknown"),
            "ce_subject": _text("The aggregate's id; when given it equals the record's key."),
            "ce_time": _text(f"{_TIME} Default: the record's timestamp.", format="date-time"),
            "ce_tenantid": _text("When given it equals the payload's tenant_id."),
            "ce_authtype": _text(_AUTH, default="unknown"),
            "ce_authid": _text("Who it is.", default="unknown"),
            "ce_correlationid": _text("What it belongs to. Default: ce_id."),
            "ce_causationid": _text("The message that caused it. Default: ce_id."),
            **_TRACE,
            "content-type": _text("application/json, or application/cloudevents+json for structured mode.", default="application/json"),
        },
    }


def event_headers_schema() -> Schema:
    """What every event and rejection carries."""
    always = {
        "ce_specversion": _text("CloudEvents version.", const=SPEC_VERSION),
        "ce_id": _text("The event's id."),
        "ce_type": _text("The event's type name."),
        "ce_source": _text("Where it was recorded; of a rejection, who sent the command."),
        "ce_subject": _text("The aggregate's id."),
        "ce_time": _text(f"{_TIME} When it was recorded.", format="date-time"),
        "ce_position": _text("The position in the context's log.", pattern="^[0-9]+$"),
        "ce_authtype": _text(_AUTH),
        "ce_authid": _text("Who sent the command."),
        "ce_correlationid": _text("What it belongs to."),
        "ce_causationid": _text("The command's id; of a rejection, what caused the command."),
        "content-type": _text("Always application/json.", const="application/json"),
    }
    sometimes = {
        "ce_sequence": _text(
            "The version in its stream, from 1; rejections have none. Discard an event that is not above the last seen of its "
            "aggregate: a repeat may come after its successors.",
            pattern="^[0-9]{20}$",
        ),
        "ce_tenantid": _text("The tenant; of a rejection only where it is known."),
        **_TRACE,
    }
    return {"type": "object", "required": sorted(always), "properties": {**always, **sometimes}}


def dead_letter_headers_schema() -> Schema:
    """What a dead letter adds to the headers of the record that it copies."""
    added = {
        "dlq.original.topic": "Where the record was read.",
        "dlq.original.partition": "Its partition there.",
        "dlq.original.offset": "Its offset there.",
        "dlq.original.timestamp": "Its timestamp in milliseconds.",
        "dlq.consumer.group": "Who could not process it.",
        "dlq.exception.type": "The error's class.",
        "dlq.exception.message": "The error's text.",
        "dlq.attempts": "How often it was tried.",
        "dlq.first_failed_at": f"{_TIME} When it first failed.",
        "dlq.handler.version": "The version of the worker that failed.",
        "dlq.position": "The dead letter's position in the context's log.",
        "dlq.cause": "defect, behind (it waits behind another parked record of its aggregate) or undecodable.",
    }
    properties = {name: {"type": "string", "description": text} for name, text in added.items()}
    return {"type": "object", "required": sorted(properties), "properties": properties, "additionalProperties": True}
