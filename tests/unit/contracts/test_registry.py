"""Type names, topics, ids, rejections and errors: the small parts of the published language."""

import copy
import json
import operator
import pickle
import re
from typing import ClassVar
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import ids
from contracts.errors import BusinessRuleViolation, ConcurrencyConflict, DomainError, ResourceNotFound, ValidationError, shape
from contracts.json_object import EMPTY, FrozenDict, freeze_object
from contracts.message import Command, Event, UndecodableMessage
from contracts.registry import COMMANDS, EVENTS, REJECTIONS, by_type_name, commands_of, events_of
from contracts.rejections import CommandRejected, rejected_type, rejection_id
from contracts.requests.commands import CreateRequest, StartResearch
from contracts.requests.events import RequestCreated, RequestDeleted, RequestUpdated
from contracts.schema_export import EXAMPLES, all_messages, is_command
from contracts.topics import (
    BROKER_MAX_MESSAGE_BYTES,
    CONTEXTS,
    FLEET_TOPIC,
    HEALTH_TOPIC,
    MAX_EVENT_BYTES,
    MAX_RECORD_BYTES,
    commands_topic,
    dead_letters_topic,
    events_topic,
    rejections_topic,
    topics,
)

# --- type names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("type_name", "message_class"), [*COMMANDS.items(), *EVENTS.items()])
def test_type_names_are_explicit_and_name_context_class_and_version(type_name: str, message_class: type[Command | Event]) -> None:
    assert type_name == message_class.type_name
    assert "type_name" in vars(message_class)
    assert re.fullmatch(rf"agentmesh\.{message_class.context}\.{message_class.__name__}\.v[1-9]\d*", type_name)


def test_two_classes_of_one_name_are_refused() -> None:
    class Impostor(StartResearch):
        """Claims a name that is taken."""

        type_name: ClassVar[str] = StartResearch.type_name

    with pytest.raises(TypeError, match="share the type name"):
        by_type_name([StartResearch, Impostor])


def test_the_tables_cannot_be_changed() -> None:
    for table in (COMMANDS, EVENTS, REJECTIONS, commands_of("requests")):
        with pytest.raises(TypeError):
            table["x"] = StartResearch  # type: ignore[index]


def test_a_context_lists_its_own_messages() -> None:
    assert {name for context in CONTEXTS for name in commands_of(context)} == set(COMMANDS)
    assert {name for context in CONTEXTS for name in events_of(context)} == set(EVENTS)
    assert all(name.startswith("agentmesh.tasks.") for name in (*commands_of("tasks"), *events_of("tasks")))
    assert not commands_of("nowhere")
    assert rejected_type("requests") not in events_of("requests")


@pytest.mark.parametrize(("type_name", "message_class"), list(all_messages()))
def test_every_message_carries_tenant_and_aggregate_and_has_an_example_that_reads(
    type_name: str, message_class: type[Command | Event]
) -> None:
    example = dict(EXAMPLES[message_class])
    message = message_class.from_json(json.dumps(example).encode())
    assert message.tenant_id == "acme"
    assert message.aggregate_id == example["aggregate_id" if message_class is CommandRejected else message_class.aggregate_field]
    written = {name: value for name, value in json.loads(message.to_json()).items() if value is not None}
    assert {name: value for name, value in written.items() if name in example} == example
    assert all(message_class.model_fields[name].default is not None for name in written.keys() - example.keys())


@pytest.mark.parametrize("message_class", list(EVENTS.values()))
def test_every_event_carries_the_time_of_the_change_and_readers_ignore_unknown_fields(message_class: type[Event]) -> None:
    assert any(name.endswith("_at") and field.is_required() for name, field in message_class.model_fields.items())
    extended = {**EXAMPLES[message_class], "added_later": 1}
    assert message_class.from_json(json.dumps(extended).encode()) == message_class(**EXAMPLES[message_class])


def test_an_event_nested_beyond_what_the_parser_takes_is_undecodable_even_in_fields_that_are_ignored() -> None:
    extended = json.dumps({**EXAMPLES[RequestDeleted], "added_later": 1}).replace(": 1}", ": " + "[" * 300 + "]" * 300 + "}")
    with pytest.raises(UndecodableMessage, match="nested too deep"):
        RequestDeleted.from_json(extended.encode())


def test_events_give_their_metadata_as_json_text_for_a_row() -> None:
    created = RequestCreated(**EXAMPLES[RequestCreated])
    assert created.metadata_json() == '{"order_id":"A-1001"}'
    updated = RequestUpdated(**EXAMPLES[RequestUpdated])
    assert updated.metadata_json() == '{"order_id":"A-1002"}'
    assert RequestUpdated(**{**EXAMPLES[RequestUpdated], "metadata": None}).metadata_json() is None


def test_commands_and_events_are_separate_types() -> None:
    assert all(is_command(each) for each in COMMANDS.values())
    assert not any(is_command(each) for each in (*EVENTS.values(), CommandRejected))


# --- topics -----------------------------------------------------------------------------------------------------------


def test_topics_follow_the_naming_of_the_design() -> None:
    assert commands_topic("requests") == "agentmesh.requests.commands.v1"
    assert events_topic("requests") == "agentmesh.requests.events.v1"
    assert rejections_topic("requests") == "agentmesh.requests.rejections.v1"
    assert dead_letters_topic("requests") == "agentmesh.requests.dlq.v1"
    assert HEALTH_TOPIC == "agentmesh.health.checks.v1"


def test_every_context_has_its_four_topics_with_twelve_partitions_kept_for_a_week() -> None:
    specs = {spec.name: spec for spec in topics() if spec.name != FLEET_TOPIC}
    assert len(specs) == 4 * len(CONTEXTS) + 1
    for name, spec in specs.items():
        assert re.fullmatch(r"agentmesh(\.[a-z]+)+\.v1", name)
        assert spec.cleanup_policy == "delete"
        assert spec.partitions == (1 if name == HEALTH_TOPIC else 12)
        assert spec.retention_ms == (3_600_000 if name == HEALTH_TOPIC else 604_800_000)


def test_the_number_of_partitions_is_a_setting() -> None:
    assert {spec.partitions for spec in topics(3) if spec.name != HEALTH_TOPIC} == {3}


def test_limits_leave_room_for_headers_and_copies() -> None:
    assert MAX_RECORD_BYTES * 2 == MAX_EVENT_BYTES
    assert MAX_EVENT_BYTES * 2 == BROKER_MAX_MESSAGE_BYTES


# --- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generator", "prefix"),
    [
        (ids.new_request_id, "req-"),
        (ids.new_customer_id, "cust-"),
        (ids.new_thread_id, "thread-"),
        (ids.new_task_id, "task-"),
        (ids.new_agent_id, ""),
        (ids.new_command_id, ""),
    ],
)
def test_new_ids_are_a_prefix_and_a_random_uuid(generator: object, prefix: str) -> None:
    made = {generator() for _ in range(20)}  # type: ignore[operator]
    assert len(made) == 20
    assert all(each.startswith(prefix) and UUID(each.removeprefix(prefix)).version == 4 for each in made)


def test_a_generated_customer_id_is_a_valid_one() -> None:
    fields = {"tenant_id": "a", "request_id": ids.new_request_id(), "customer_id": ids.new_customer_id(), "message": "hello"}
    assert CreateRequest(**fields).customer_id == fields["customer_id"]


@given(st.uuids(), st.text(st.characters(exclude_categories=("Cs",))))
def test_derived_ids_are_version_five_uuids(namespace: UUID, name: str) -> None:
    assert ids.derived_uuid(namespace, name) == str(uuid5(namespace, name))


# --- rejections -------------------------------------------------------------------------------------------------------


def test_the_id_of_a_rejection_is_derived_from_the_command_id() -> None:
    command_id = str(uuid4())
    assert rejection_id(command_id) == str(uuid5(UUID(command_id), "rejected"))


def test_command_ids_of_any_text_have_their_own_rejection_id() -> None:
    canonical = str(uuid4())
    spellings = [canonical, canonical.upper(), "{" + canonical + "}", "urn:uuid:" + canonical, canonical.replace("-", ""), "", "x"]
    made = [rejection_id(each) for each in spellings]
    assert len(set(made)) == len(spellings)
    assert all(UUID(each).version == 5 for each in made)
    assert rejection_id("x") == rejection_id("x")


def test_a_rejection_carries_the_aggregate_under_its_public_name() -> None:
    error = BusinessRuleViolation("Only a pending request can be triaged.", rule="triage_requires_pending", details={"tags": ["a"]})
    rejected = CommandRejected(
        tenant_id=ids.TenantId("t"), aggregate_id="req-1", command_id=ids.CommandId("c"), command_type="x", **error.to_error()
    )
    written = json.loads(rejected.to_json())
    assert written["aggregate_id"] == rejected.aggregate_id == "req-1"
    assert written["details"] == {"rule": "triage_requires_pending", "tags": ["a"]}
    assert CommandRejected.from_json(rejected.to_json()) == rejected


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "error_type", "code", "details"),
    [
        (ValidationError("m", field="message", details={"max": 1}), "ValidationError", "VALIDATION_ERROR", {"field": "message", "max": 1}),
        (BusinessRuleViolation("m", rule="r"), "BusinessRuleViolation", "BUSINESS_RULE_VIOLATION", {"rule": "r"}),
        (
            ResourceNotFound("Request", "req-1"),
            "ResourceNotFound",
            "RESOURCE_NOT_FOUND",
            {"resource_type": "Request", "resource_id": "req-1"},
        ),
        (ConcurrencyConflict("m"), "ConcurrencyConflict", "CONCURRENCY_CONFLICT", {}),
    ],
)
def test_errors_have_the_published_shape(error: DomainError, error_type: str, code: str, details: dict[str, object]) -> None:
    assert error.to_error() == {"error_type": error_type, "message": error.message, "code": code, "details": details}
    assert str(error) == error.message


def test_a_business_rule_violation_names_its_rule() -> None:
    with pytest.raises(ValueError, match="names its rule"):
        BusinessRuleViolation("m", rule="")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "number"),
        (1.5, "number"),
        ("abc", "text of 3 characters"),
        (b"ab", "2 bytes"),
        ([1], "list of 1 items"),
        ({"a": 1}, "object of 1 fields"),
        (object(), "object"),
    ],
)
def test_a_shape_says_kind_and_size_only(value: object, expected: str) -> None:
    assert shape(value) == expected


# --- frozen JSON objects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda frozen: frozen.__setitem__("a", 2),
        lambda frozen: frozen.__delitem__("a"),
        lambda frozen: frozen.__ior__({"b": 1}),
        lambda frozen: frozen.clear(),
        lambda frozen: frozen.pop("a"),
        lambda frozen: frozen.popitem(),
        lambda frozen: frozen.setdefault("b", 1),
        lambda frozen: frozen.update(b=1),
        lambda frozen: frozen["c"].__setitem__("d", 2),
        lambda frozen: operator.setitem(frozen["l"], 0, 2),
    ],
)
def test_a_frozen_object_refuses_every_change_down_to_its_leaves(change: object) -> None:
    frozen = freeze_object({"a": 1, "c": {"d": 1}, "l": [1, {"x": 1.5}]})
    with pytest.raises(TypeError):
        change(frozen)  # type: ignore[operator]
    assert json.loads(json.dumps(frozen)) == {"a": 1, "c": {"d": 1}, "l": [1, {"x": 1.5}]}


def test_a_frozen_object_is_independent_of_what_it_was_made_of() -> None:
    source = {"a": {"b": 1}}
    frozen = freeze_object(source)
    source["a"]["b"] = 2
    assert frozen == {"a": {"b": 1}}


def test_a_frozen_object_copies_and_pickles() -> None:
    frozen = freeze_object({"a": {"b": 1}})
    assert copy.copy(frozen) is frozen
    assert copy.deepcopy(frozen) is frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert isinstance(pickle.loads(pickle.dumps(frozen)), FrozenDict)
    assert freeze_object(frozen) is frozen
    assert freeze_object(None) is freeze_object({}) is EMPTY
