"""The commands of requests check themselves, at every boundary, and their errors never repeat a value."""

import json
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import validation_details
from contracts.message import Command, UndecodableMessage
from contracts.requests.commands import (
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.values import Category, Priority, count_symbols

REQUEST: dict[str, Any] = {"tenant_id": "test-tenant", "request_id": "req-1"}
CREATE: dict[str, Any] = {**REQUEST, "customer_id": "cust-0042", "message": "My invoice of May is wrong"}
TRIAGE: dict[str, Any] = {**REQUEST, "category": "billing", "priority": 2, "confidence": 0.5}
SECRET = "s3cret-value-nobody-may-see"


def wire(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def create(**fields: Any) -> CreateRequest:
    return CreateRequest.from_json(wire({**CREATE, **fields}))


def refused(command_class: type[Command], fields: dict[str, Any]) -> list[dict[str, str]]:
    """The reported errors of a refused command: the same from the wire and from Python."""
    with pytest.raises(pydantic.ValidationError) as caught:
        command_class.from_json(wire(fields))
    return validation_details(caught.value)["errors"]


def refused_field(command_class: type[Command] = CreateRequest, base: dict[str, Any] = CREATE, **fields: Any) -> str:
    errors = refused(command_class, {**base, **fields})
    assert len(errors) == 1
    return errors[0]["field"]


def test_what_has_a_default_may_be_left_out() -> None:
    command = create()
    assert command.priority is Priority.MEDIUM
    assert command.category is None
    assert command.metadata == {}
    assert command.timestamp is None
    assert command.thread_id is None


def test_an_explicit_null_means_the_default() -> None:
    assert create(priority=None, category=None, metadata=None, timestamp=None, thread_id=None) == create()


@pytest.mark.parametrize("missing", ["tenant_id", "request_id", "customer_id", "message"])
def test_a_required_field_is_named_when_it_is_missing(missing: str) -> None:
    fields = {name: value for name, value in CREATE.items() if name != missing}
    assert refused(CreateRequest, fields) == [{"field": missing, "rule": "Field required", "shape": "absent"}]


def test_an_unknown_field_is_refused_by_name() -> None:
    assert refused_field(surprise=1) == "surprise"


def test_a_second_envelope_inside_the_value_is_refused() -> None:
    assert {each["field"] for each in refused(CreateRequest, {"event_type": "x", "data": CREATE})} > {"event_type", "data"}


# --- identifiers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("customer_id", ["cust-123", "cust-" + "a" * 90, "cust-A-9"])
def test_customer_ids_within_pattern_and_length_are_taken(customer_id: str) -> None:
    assert create(customer_id=customer_id).customer_id == customer_id


@pytest.mark.parametrize(
    "customer_id", ["", "cust-12", "cust-" + "a" * 91, "cust-12_4", "Cust-1234", "customer-1", "cust-123\n", " cust-123", "cust-äöü"]
)
def test_customer_ids_outside_pattern_or_length_are_refused(customer_id: str) -> None:
    assert refused_field(customer_id=customer_id) == "customer_id"


@pytest.mark.parametrize("request_id", ["r", "x" * 200, "case 7/ü"])
def test_request_ids_of_any_printable_text_are_taken(request_id: str) -> None:
    assert create(request_id=request_id).aggregate_id == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 201, "a\nb", "a\x00", "a\x7f", "a\x85"])
def test_request_ids_that_are_empty_long_or_hold_control_characters_are_refused(request_id: str) -> None:
    assert refused_field(request_id=request_id) == "request_id"
    if request_id:
        assert refused_field(thread_id=request_id) == "thread_id"


@pytest.mark.parametrize("tenant_id", ["a", "A.b_c-9", "t" * 100])
def test_tenant_ids_of_letters_digits_dot_underscore_hyphen_are_taken(tenant_id: str) -> None:
    assert create(tenant_id=tenant_id).tenant_id == tenant_id


@pytest.mark.parametrize("tenant_id", ["", "t" * 101, "a b", "a*", "a\n", "ü"])
def test_other_tenant_ids_are_refused(tenant_id: str) -> None:
    assert refused_field(tenant_id=tenant_id) == "tenant_id"


# --- message ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 10_000])
def test_a_message_of_one_to_ten_thousand_characters_is_taken(length: int) -> None:
    assert len(create(message="ü" * length).message) == length


@pytest.mark.parametrize("message", ["", "a" * 10_001, " " * 10_001])
def test_a_message_without_characters_or_with_too_many_is_refused(message: str) -> None:
    assert refused_field(message=message) == "message"


@pytest.mark.parametrize(
    "content", ["<script", "<ScRiPt", "javascript:", "JAVASCRIPT:", "onerror=", "OnClick=", "<\u017fcript", "onclic\u212a="]
)
def test_script_content_is_refused_in_any_case_of_letters(content: str) -> None:
    assert refused_field(message=f"please look at my account {content} thank you") == "message"


def test_words_that_only_resemble_script_content_are_taken() -> None:
    assert create(message="the script failed with javascript and onerror").message


@pytest.mark.parametrize(("symbols", "length", "taken"), [(3, 10, True), (4, 10, False), (30, 100, True), (31, 100, False), (1, 3, False)])
@pytest.mark.parametrize("letter", ["a", "ü", "7", "\u00a0"])
def test_exactly_thirty_percent_symbols_are_taken_and_more_are_refused(symbols: int, length: int, taken: bool, letter: str) -> None:
    message = "a" + letter * (length - symbols - 1) + "!" * symbols
    if taken:
        assert create(message=message).message == message
    else:
        assert refused_field(message=message) == "message"


def test_symbols_are_counted_before_trimming() -> None:
    assert create(message="!!!abc" + " " * 4).message == "!!!abc"
    assert refused_field(message="!!!abc") == "message"


@pytest.mark.parametrize("message", [" ", "\n\t ", "\u3000"])
def test_a_message_that_is_blank_after_trimming_is_refused(message: str) -> None:
    assert refused_field(message=message) == "message"


def test_the_stored_message_is_trimmed() -> None:
    assert create(message="  where is it?\n").message == "where is it?"


def test_nul_characters_are_refused_in_messages() -> None:
    assert refused_field(message="where is\0 it") == "message"


@given(st.text(max_size=200))
def test_symbols_are_counted_as_python_defines_letters_digits_and_white_space(text: str) -> None:
    assert count_symbols(text) == sum(not (letter.isalnum() or letter.isspace()) for letter in text)


def test_a_lone_surrogate_is_refused_with_its_field_and_not_taken_for_broken_json() -> None:
    assert refused_field(message="where is \ud800 it") == "message"
    assert refused_field(metadata={"note": "\udfff"}) == "metadata"
    assert refused_field(metadata={"\ud800": 1}) == "metadata"


def test_a_lone_surrogate_in_python_is_refused_too() -> None:
    for fields in ({"message": "a \ud800"}, {"metadata": {"a": "\ud800"}}, {"request_id": "\ud800"}):
        with pytest.raises(pydantic.ValidationError):
            CreateRequest(**{**CREATE, **fields})


# --- priority, category, refunds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [1, 2, 3, 4])
def test_priorities_one_to_four_are_taken(priority: int) -> None:
    assert create(priority=priority).priority == priority
    assert TriageRequest.from_json(wire({**TRIAGE, "priority": priority})).priority == priority


@pytest.mark.parametrize("priority", [0, 5, -1, "2", 2.0, 2.5, True, [2], {}])
def test_other_priorities_are_refused(priority: object) -> None:
    assert refused_field(priority=priority) == "priority"
    assert refused_field(TriageRequest, TRIAGE, priority=priority) == "priority"
    assert refused_field(UpdateRequest, REQUEST, priority=priority) == "priority"


def test_null_is_no_priority_of_a_triage() -> None:
    assert refused_field(TriageRequest, TRIAGE, priority=None) == "priority"


def test_python_may_give_priorities_as_numbers_and_categories_as_text() -> None:
    command = CreateRequest(**CREATE, priority=3, category="billing")
    assert command.priority is Priority.HIGH
    assert command.category is Category.BILLING


@pytest.mark.parametrize("category", [*Category])
def test_every_category_is_taken(category: Category) -> None:
    assert create(category=category.value).category is category


@pytest.mark.parametrize("category", ["", "Billing", "other", 1])
def test_other_categories_are_refused(category: object) -> None:
    assert refused_field(category=category) == "category"


@pytest.mark.parametrize("priority", [2, 3, 4])
def test_a_refund_of_medium_priority_or_above_is_taken(priority: int) -> None:
    assert create(category="refund", priority=priority)
    assert TriageRequest.from_json(wire({**TRIAGE, "category": "refund", "priority": priority}))
    assert UpdateRequest.from_json(wire({**REQUEST, "category": "refund", "priority": priority}))


def test_a_refund_of_low_priority_contradicts_itself() -> None:
    terms = {"category": "refund", "priority": 1}
    assert refused_field(**terms) == "priority"
    assert refused_field(TriageRequest, TRIAGE, **terms) == "priority"
    assert refused_field(UpdateRequest, REQUEST, **terms) == "priority"


def test_a_refund_without_a_priority_has_the_default_and_is_taken() -> None:
    assert create(category="refund").priority is Priority.MEDIUM


# --- metadata ---------------------------------------------------------------------------------------------------------


def metadata_of(characters: int, letter: str = "x") -> dict[str, str]:
    """Metadata whose compact JSON text has that many characters."""
    return {"k": letter * (characters - len('{"k":""}'))}


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_metadata_of_ten_thousand_characters_is_taken_and_one_more_is_refused(letter: str) -> None:
    assert create(metadata=metadata_of(10_000, letter))
    assert refused_field(metadata=metadata_of(10_001, letter)) == "metadata"
    assert refused_field(UpdateRequest, REQUEST, metadata=metadata_of(10_001, letter)) == "metadata"


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        "text",
        1,
        {"a": "\0"},
        {"f": 1.5, "a\0": 1},
        {"f": 1.5, "l": ["\0"]},
        {"a": [[["\0"]]]},
        {"a\0": 1},
        {"a": {"b": ["\0"]}},
        {"a": [{"b\0": 1}]},
        {"a": float("nan")},
        {"a": [float("inf")]},
    ],
)
def test_metadata_that_is_no_storable_json_object_is_refused(metadata: object) -> None:
    assert refused_field(metadata=metadata) == "metadata"


@pytest.mark.parametrize("metadata", [{1: "a"}, {"a": {1: 2}}, {"a": datetime.now(UTC)}, {"a": {1, 2}}, {"a": b"x"}])
def test_python_values_that_are_no_json_are_refused(metadata: object) -> None:
    with pytest.raises(pydantic.ValidationError):
        CreateRequest(**CREATE, metadata=metadata)


def test_metadata_nested_too_deep_is_refused() -> None:
    nested: Any = 1
    for level in range(150):
        nested = {"a": nested} if level % 2 else [nested]
    assert refused_field(metadata={"a": nested}) == "metadata"


def test_metadata_nested_beyond_what_a_parser_takes_is_undecodable() -> None:
    for depth in (500, 100_000):
        value = wire(CREATE)[:-1] + b',"metadata":{"a":' + b"[" * depth + b"]" * depth + b"}}"
        with pytest.raises((UndecodableMessage, pydantic.ValidationError)):
            CreateRequest.from_json(value)


def test_numbers_of_any_size_survive_in_metadata() -> None:
    metadata = {"n": 10**30, "f": 1.5, "b": True, "z": None}
    assert json.loads(create(metadata=metadata).to_json())["metadata"] == metadata


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_timestamp_is_kept_in_utc() -> None:
    assert create(timestamp="2026-01-01T01:30:00+02:00").timestamp == datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    assert create(timestamp="2026-01-01T01:30:00+02:00").timestamp.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    "timestamp",
    ["2026-01-01T00:00:00", 1_700_000_000, "yesterday", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)
def test_a_timestamp_without_zone_or_outside_the_calendar_is_refused(timestamp: object) -> None:
    assert refused_field(timestamp=timestamp) == "timestamp"


# --- the other commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0, 0.0, 0.6, 1, 1.0])
def test_a_confidence_from_zero_to_one_is_taken(confidence: float) -> None:
    assert TriageRequest.from_json(wire({**TRIAGE, "confidence": confidence})).confidence == confidence


@pytest.mark.parametrize("confidence", [-0.0001, 1.0001, float("nan"), float("inf"), "0.5", None, True])
def test_any_other_confidence_is_refused(confidence: object) -> None:
    assert refused_field(TriageRequest, TRIAGE, confidence=confidence) == "confidence"


def test_an_update_says_at_least_one_change() -> None:
    assert refused_field(UpdateRequest, REQUEST) == "message"
    assert refused_field(UpdateRequest, REQUEST, message=None, priority=None, category=None, metadata=None) == "message"


@pytest.mark.parametrize("change", [{"message": "new"}, {"priority": 1}, {"category": "refund"}, {"metadata": {}}])
def test_an_update_of_one_field_is_taken_and_says_nothing_of_the_others(change: dict[str, Any]) -> None:
    command = UpdateRequest.from_json(wire({**REQUEST, **change}))
    assert json.loads(command.to_json()) == {**REQUEST, **change}


def test_the_message_rules_guard_updates_too() -> None:
    for message in ("", " ", "a" * 10_001, "see <script here", "!!!!a", "a\0b"):
        assert refused_field(UpdateRequest, REQUEST, message=message) == "message"
    assert UpdateRequest.from_json(wire({**REQUEST, "message": " new "})).message == "new"


@pytest.mark.parametrize(
    ("text", "taken"), [("a", True), ("a" * 10_000, True), ("a" * 10_001, False), ("", False), (" \n", False), ("a\0", False)]
)
def test_a_resolution_is_some_text_of_at_most_ten_thousand_characters(text: str, taken: bool) -> None:
    if taken:
        assert CompleteRequest.from_json(wire({**REQUEST, "resolution": text})).resolution == text
    else:
        assert refused_field(CompleteRequest, REQUEST, resolution=text) == "resolution"


def test_a_deletion_may_give_a_reason() -> None:
    assert DeleteRequest.from_json(wire(REQUEST)).reason is None
    assert DeleteRequest.from_json(wire({**REQUEST, "reason": "withdrawn"})).reason == "withdrawn"
    assert refused_field(DeleteRequest, REQUEST, reason="x" * 2001) == "reason"


# --- errors and immutability ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"message": f"<script {SECRET}"},
        {"message": SECRET + "!" * 400},
        {"customer_id": SECRET},
        {"priority": SECRET},
        {"category": SECRET},
        {"metadata": [SECRET]},
        {"metadata": {"a": SECRET, SECRET: "\0"}},
        {"timestamp": SECRET},
        {"thread_id": SECRET + "\n"},
        {"tenant_id": SECRET + " "},
        {"surprise": SECRET},
        {"category": "refund", "priority": 1, "metadata": {"a": SECRET}},
    ],
)
def test_error_details_name_field_rule_and_shape_and_never_the_value(fields: dict[str, Any]) -> None:
    errors = refused(CreateRequest, {**CREATE, **fields})
    assert all(set(each) == {"field", "rule", "shape"} and all(each.values()) for each in errors)
    assert SECRET not in json.dumps(errors)


def test_an_error_report_stays_small_whatever_is_sent() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        CreateRequest.from_json(wire({**CREATE, **{f"{number}\n{'x' * 500}": 1 for number in range(1000)}}))
    details = validation_details(caught.value)
    assert len(details["errors"]) == 20
    assert details["more_errors"] == 980
    assert len(json.dumps(details)) < 5_000
    assert "\n" not in details["errors"][0]["field"]


@pytest.mark.parametrize("command", [create(), StartResearch(**REQUEST), TriageRequest(**TRIAGE)])
def test_commands_cannot_be_changed(command: Command) -> None:
    with pytest.raises(pydantic.ValidationError):
        command.tenant_id = "other"  # type: ignore[misc]


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"nonsense", b'{"a":', b'{"a": NaN', b"\xef\xbb\xbf{}"])
def test_bytes_that_are_no_json_are_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableMessage):
        StartResearch.from_json(value)


@pytest.mark.parametrize("value", [b"[]", b"1", b"null", b'"text"'])
def test_json_that_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(pydantic.ValidationError):
        StartResearch.from_json(value)


READ = ("amount", "currency")
"""The keys of metadata whose values have rules of their own."""


@given(
    message=st.text(st.characters(categories=("L", "N", "Zs")), min_size=1, max_size=300).filter(str.strip),
    priority=st.sampled_from([2, 3, 4]),
    category=st.none() | st.sampled_from([each.value for each in Category]),
    metadata=st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=10).filter(lambda key: key not in READ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20),
        max_size=5,
    ),
)
def test_a_command_survives_its_way_over_the_wire(message: str, priority: int, category: str | None, metadata: dict[str, Any]) -> None:
    command = create(message=message, priority=priority, category=category, metadata=metadata)
    assert CreateRequest.from_json(command.to_json()) == command
