"""Within a version a message may only change in ways that break nobody: each planted break is found, each harmless change is not."""

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from contracts.compatibility import broken_by
from contracts.fleet import FLEET_MESSAGES
from contracts.requests.commands import CreateRequest, TriageRequest
from contracts.requests.events import RequestCreated, RequestTriaged, RequestUpdated
from contracts.schema_export import DIALECT, EXAMPLES, all_messages, message_schema, message_schemas, schema_path

Schema = dict[str, Any]
Change = Callable[[Schema], object]


def schema_of(message_class: Any) -> Schema:
    return copy.deepcopy(message_schema(message_class.type_name, message_class))


def found(message_class: Any, change: Change, *, command: bool) -> list[str]:
    current = schema_of(message_class)
    change(current)
    return broken_by(schema_of(message_class), current, command=command)


def field(schema: Schema, name: str) -> Schema:
    return schema["properties"][name]


def replace(schema: Schema, name: str, new: Schema) -> None:
    schema["properties"][name] = new


def rename(schema: Schema, old: str, new: str) -> None:
    schema["properties"][new] = schema["properties"].pop(old)
    schema["required"] = [new if each == old else each for each in schema["required"]]


def add(schema: Schema, name: str, new: Schema, *, required: bool = False) -> None:
    schema["properties"][name] = new
    if required:
        schema["required"].append(name)


NUMBERED: Schema = {"anyOf": [{"type": "integer", "enum": [1, 2, 3, 4]}, {"type": "null"}], "default": 2}

BROKEN_COMMANDS: dict[str, tuple[Change, str]] = {
    "removed field": (lambda s: s["properties"].pop("category"), "category was removed or renamed"),
    "renamed field": (lambda s: rename(s, "message", "text"), "message was removed or renamed"),
    "new required field": (lambda s: add(s, "channel", {"type": "string"}, required=True), "channel is newly required"),
    "field now required": (lambda s: s["required"].append("priority"), "priority is newly required"),
    "narrowed type": (lambda s: replace(s, "priority", NUMBERED["anyOf"][0] | {"default": 2}), "priority no longer takes null"),
    "changed type": (lambda s: replace(s, "message", {"type": "integer"}), "message no longer takes string"),
    "narrowed enum": (lambda s: s["$defs"]["Category"]["enum"].remove("refund"), "category takes fewer values: refund"),
    "enum where there was none": (lambda s: field(s, "message").update(enum=["a"]), "message takes fewer values"),
    "lower maximum length": (lambda s: field(s, "message").update(maxLength=9_999), "message has a lower maxLength"),
    "higher minimum length": (lambda s: field(s, "message").update(minLength=2), "message has a higher minLength"),
    "another pattern": (lambda s: field(s, "customer_id").update(pattern="^c"), "customer_id has another pattern"),
    "new pattern": (lambda s: field(s, "message").update(pattern="^[a-z]+$"), "message has another pattern"),
    "another default": (lambda s: field(s, "priority").update(default=3), "priority has another default"),
    "closed object": (lambda s: field(s, "metadata").update(additionalProperties=False), "metadata refuses further fields now"),
    "required member": (
        lambda s: field(s, "metadata").update(properties={"amount": {"type": "string"}}, required=["amount"]),
        "metadata.amount is newly required",
    ),
}

BROKEN_EVENTS: dict[str, tuple[Change, str]] = {
    "removed field": (lambda s: (s["properties"].pop("customer_id"), s["required"].remove("customer_id")), "customer_id was removed"),
    "renamed field": (lambda s: rename(s, "message", "text"), "message was removed or renamed"),
    "changed type": (lambda s: replace(s, "message", {"type": "object"}), "message no longer takes string"),
    "widened type": (
        lambda s: replace(s, "message", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "message may hold null now, which its readers do not expect",
    ),
    "newly required for old data": (lambda s: s["required"].append("metadata"), "metadata is newly required"),
    "new required field": (lambda s: add(s, "channel", {"type": "string"}, required=True), "channel is newly required"),
    "no longer always there": (lambda s: s["required"].remove("thread_id"), "thread_id is no longer always there"),
    "narrowed enum": (lambda s: s["$defs"]["Category"]["enum"].remove("general"), "category takes fewer values: general"),
    "new limit on old data": (lambda s: field(s, "message").update(maxLength=10), "message has a lower maxLength"),
    "another format": (lambda s: field(s, "created_at").update(format="date"), "created_at has another format"),
}


@pytest.mark.parametrize(("change", "sentence"), BROKEN_COMMANDS.values(), ids=BROKEN_COMMANDS)
def test_a_command_that_takes_less_than_it_did_is_found(change: Change, sentence: str) -> None:
    assert any(each.startswith(sentence) for each in found(CreateRequest, change, command=True))


@pytest.mark.parametrize(("change", "sentence"), BROKEN_EVENTS.values(), ids=BROKEN_EVENTS)
def test_an_event_that_breaks_its_readers_or_its_history_is_found(change: Change, sentence: str) -> None:
    assert any(each.startswith(sentence) for each in found(RequestCreated, change, command=False))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: None,
        lambda s: add(s, "channel", {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}),
        lambda s: field(s, "message").update(maxLength=20_000, description="longer now"),
        lambda s: s["$defs"]["Category"]["enum"].append("legal"),
        lambda s: s["required"].remove("message"),
        lambda s: field(s, "customer_id").pop("pattern"),
        lambda s: replace(s, "message", {"type": ["string", "null"]}),
        lambda s: replace(s, "message", {}),
    ],
)
def test_a_command_may_take_more_than_it_did(change: Change) -> None:
    assert found(CreateRequest, change, command=True) == []


def test_a_whole_number_may_become_any_number_in_a_command() -> None:
    def widen(schema: Schema) -> None:
        replace(schema, "priority", {"type": "number"})

    assert found(TriageRequest, widen, command=True) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda s: None,
        lambda s: add(s, "channel", {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}),
        lambda s: s["$defs"]["Category"]["enum"].append("legal"),
        lambda s: field(s, "message").update(description="other words"),
    ],
)
def test_an_event_may_gain_optional_fields_and_values(change: Change) -> None:
    assert found(RequestCreated, change, command=False) == []


@pytest.mark.parametrize("message_class", [RequestTriaged, RequestUpdated, TriageRequest])
def test_a_message_is_compatible_with_itself(message_class: Any) -> None:
    for command in (True, False):
        assert broken_by(schema_of(message_class), schema_of(message_class), command=command) == []


def test_lists_are_compared_by_their_items() -> None:
    old: Schema = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3}}}
    new: Schema = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}}}
    assert broken_by(old, new, command=True) == ["tags has a lower maxItems", "tags[] no longer takes string"]


# --- the published schemas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("type_name", "message_class"), list(all_messages()))
def test_every_published_schema_is_valid_and_takes_its_example(type_name: str, message_class: Any) -> None:
    schema = message_schema(type_name, message_class)
    assert schema["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert schema["examples"] == [dict(EXAMPLES[message_class])]
    assert list(validator.iter_errors(schema["examples"][0])) == []
    without_tenant = {name: value for name, value in EXAMPLES[message_class].items() if name != "tenant_id"}
    assert list(validator.iter_errors(without_tenant))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"priority": None},
        {"metadata": None},
        {"priority": 4, "category": "refund"},
        {"timestamp": "2026-05-04T09:30:00Z"},
        {"thread_id": "t"},
    ],
)
def test_the_schema_of_a_command_takes_what_the_class_takes(fields: Schema) -> None:
    command = {"tenant_id": "acme", "request_id": "r", "customer_id": "cust-0042", "message": "m", **fields}
    jsonschema.validate(command, schema_of(CreateRequest), jsonschema.Draft202012Validator)
    assert CreateRequest.from_json(json.dumps(command).encode())


@pytest.mark.parametrize(
    "fields",
    [{"priority": 5}, {"priority": "2"}, {"customer_id": "cust-12"}, {"message": ""}, {"x": 1}, {"category": "x"}, {"metadata": []}],
)
def test_the_schema_of_a_command_refuses_what_the_class_refuses(fields: Schema) -> None:
    command = {"tenant_id": "acme", "request_id": "r", "customer_id": "cust-0042", "message": "m", **fields}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(command, schema_of(CreateRequest), jsonschema.Draft202012Validator)


def test_schemas_are_kept_by_context_and_type_name() -> None:
    assert str(schema_path("agentmesh.requests.CreateRequest.v1")) == "requests/CreateRequest.v1.json"
    assert len(message_schemas()) == len(list(all_messages())) + len(FLEET_MESSAGES)
