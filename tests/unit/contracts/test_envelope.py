"""Records become metadata and data and back; the CloudEvents SDK judges both directions; hostile records are refused with a reason."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from cloudevents.http import CloudEvent
from cloudevents.kafka import KafkaMessage, from_binary, from_structured, to_binary, to_structured
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import (
    MAX_HEADER_BYTES,
    MAX_TRACESTATE_BYTES,
    Metadata,
    RecordedEvent,
    UnreadableEnvelope,
    command_headers,
    decode_stored,
    encode_stored,
    event_headers,
    parse_command,
    parse_event,
    stored_headers,
    structured,
)
from contracts.requests.events import ResearchStarted
from contracts.schema_export import EXAMPLES

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
KEY = b"req-1"
DATA = b'{"tenant_id":"acme","request_id":"req-1"}'
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
METADATA = Metadata(
    message_id="c-1",
    type_name="agentmesh.requests.StartResearch.v1",
    source="/gateway",
    subject="req-1",
    time="2026-05-04T09:30:00.250000Z",
    tenant_id="acme",
    auth_type="user",
    auth_id="u-1",
    correlation_id="corr-1",
    causation_id="cause-1",
    traceparent=TRACEPARENT,
    tracestate="vendor=a,other=b",
)
MINIMAL = [("ce_id", b"c-1"), ("ce_type", b"agentmesh.requests.StartResearch.v1")]


def with_header(name: str, value: Any) -> list[tuple[str, Any]]:
    return [each for each in command_headers(METADATA) if each[0] != name] + [(name, value)]


def reason_of(headers: Any, key: bytes | None = KEY, value: bytes | None = DATA, timestamp_ms: int = 0) -> str:
    with pytest.raises(UnreadableEnvelope) as caught:
        parse_command(key, value, headers, timestamp_ms)
    assert caught.value.reason == str(caught.value)
    return caught.value.reason


# --- binary mode ------------------------------------------------------------------------------------------------------


def test_id_and_type_are_all_that_a_command_needs() -> None:
    metadata, data = parse_command(KEY, DATA, MINIMAL, 1_777_886_999_250)
    assert data == DATA
    assert metadata == Metadata(
        message_id="c-1",
        type_name="agentmesh.requests.StartResearch.v1",
        source="unknown",
        subject="req-1",
        time="2026-05-04T09:29:59.250Z",
        tenant_id="",
        auth_type="unknown",
        auth_id="unknown",
        correlation_id="c-1",
        causation_id="c-1",
        traceparent=None,
        tracestate=None,
    )


@pytest.mark.parametrize("container", [list, tuple, iter])
def test_every_header_of_a_command_is_read(container: Any) -> None:
    assert parse_command(KEY, DATA, container(command_headers(METADATA)), 0) == (METADATA, DATA)


def test_the_headers_of_an_event_are_those_of_the_design() -> None:
    assert dict(event_headers(METADATA, 7, 1234)) == {
        "ce_specversion": b"1.0",
        "ce_id": b"c-1",
        "ce_type": b"agentmesh.requests.StartResearch.v1",
        "ce_source": b"/gateway",
        "ce_subject": b"req-1",
        "ce_time": b"2026-05-04T09:30:00.250000Z",
        "ce_sequence": b"00000000000000000007",
        "ce_position": b"1234",
        "ce_tenantid": b"acme",
        "ce_authtype": b"user",
        "ce_authid": b"u-1",
        "ce_correlationid": b"corr-1",
        "ce_causationid": b"cause-1",
        "traceparent": TRACEPARENT.encode(),
        "tracestate": b"vendor=a,other=b",
        "content-type": b"application/json",
    }


def test_what_is_not_known_is_not_written() -> None:
    names = {name for name, _ in event_headers(METADATA._replace(tenant_id="", traceparent=None), 0, 5)}
    assert not names & {"ce_tenantid", "traceparent", "tracestate", "ce_sequence"}


def test_an_event_is_read_with_its_place_in_stream_and_log() -> None:
    recorded = parse_event(KEY, DATA, event_headers(METADATA, 7, 1234), 0, "requests")
    assert recorded == RecordedEvent(METADATA, DATA, 7, 1234, "requests")
    assert recorded.aggregate_id == "req-1"


def test_a_rejection_has_no_sequence_and_still_reads() -> None:
    assert parse_event(KEY, DATA, event_headers(METADATA, 0, 5), 0, "requests").sequence == 0


def test_a_recorded_event_decodes_itself() -> None:
    data = json.dumps(EXAMPLES[ResearchStarted]).encode()
    metadata = METADATA._replace(type_name=ResearchStarted.type_name)
    assert RecordedEvent(metadata, data, 1, 1, "requests").event() == ResearchStarted.from_json(data)


def test_headers_of_others_are_left_alone() -> None:
    foreign = [("x-vendor", b"\xff\xfe"), ("x-vendor", b"\x00"), ("uber-trace-id", b"x" * 5000)]
    assert parse_command(KEY, DATA, [*command_headers(METADATA), *foreign], 0) == (METADATA, DATA)


def test_text_beyond_ascii_and_spaces_are_read() -> None:
    metadata = METADATA._replace(auth_id="Jürgen Müller", subject="case 7", correlation_id="a b")
    assert parse_command(KEY, DATA, command_headers(metadata), 0)[0] == metadata


@pytest.mark.parametrize("traceparent", [b"nonsense", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01", TRACEPARENT.upper().encode()])
def test_a_broken_traceparent_counts_as_none_and_takes_the_tracestate_with_it(traceparent: bytes) -> None:
    metadata, _ = parse_command(KEY, DATA, with_header("traceparent", traceparent), 0)
    assert metadata.traceparent is None
    assert metadata.tracestate is None


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ce_id", "ce_type"])
def test_a_record_without_id_or_type_is_unreadable(name: str) -> None:
    assert reason_of([each for each in MINIMAL if each[0] != name]) == f"{name} is missing"
    assert reason_of(with_header(name, b"")) == f"{name} is missing"


OUR_HEADERS = [name for name, _ in event_headers(METADATA, 1, 1) if name not in ("content-type", "ce_specversion")]


@pytest.mark.parametrize("name", OUR_HEADERS)
def test_a_header_that_is_not_utf8_is_named(name: str) -> None:
    assert reason_of(with_header(name, b"\xff\xfe")) == f"header {name} is not UTF-8"


@pytest.mark.parametrize("name", OUR_HEADERS)
@pytest.mark.parametrize("character", ["\0", "\n", "\x1f", "\x7f", "\x85", "\r\n"])
def test_a_header_with_control_characters_is_named(name: str, character: str) -> None:
    assert reason_of(with_header(name, f"a{character}b".encode())) == f"header {name} holds control characters"


@pytest.mark.parametrize("name", OUR_HEADERS)
def test_a_header_over_its_limit_is_named(name: str) -> None:
    limit = MAX_TRACESTATE_BYTES if name == "tracestate" else MAX_HEADER_BYTES
    assert reason_of(with_header(name, b"1" * (limit + 1))) == f"header {name} has {limit + 1} bytes, at most {limit} are read"


@pytest.mark.parametrize("name", ["ce_source", "ce_authid", "ce_correlationid"])
def test_a_header_of_exactly_its_limit_is_read(name: str) -> None:
    assert "x" * MAX_HEADER_BYTES in parse_command(KEY, DATA, with_header(name, b"x" * MAX_HEADER_BYTES), 0)[0]
    assert parse_command(KEY, DATA, with_header("tracestate", b"x" * 512), 0)[0].tracestate == "x" * 512


@pytest.mark.parametrize("name", [*OUR_HEADERS, "ce_specversion", "content-type"])
def test_a_header_that_comes_twice_is_named(name: str) -> None:
    headers = event_headers(METADATA, 1, 1)
    assert reason_of([*headers, (name, dict(headers)[name])]) == f"header {name} comes twice"


def test_a_header_without_a_value_is_named() -> None:
    assert reason_of(with_header("ce_source", None)) == "header ce_source has no value"


def test_another_version_of_cloudevents_is_unreadable() -> None:
    assert reason_of(with_header("ce_specversion", b"0.3")) == "ce_specversion is not 1.0"


def test_a_tombstone_is_unreadable() -> None:
    assert "tombstone" in reason_of(MINIMAL, value=None)


@pytest.mark.parametrize("time", [b"yesterday", b"2026-05-04", b"2026-05-04 09:30:00Z", b"2026-05-04T09:30:00", b"1777887000"])
def test_a_time_that_is_not_rfc_3339_is_unreadable(time: bytes) -> None:
    assert reason_of(with_header("ce_time", time)) == "ce_time is not an RFC 3339 time"


def test_a_timestamp_outside_the_calendar_is_unreadable_only_where_it_is_needed() -> None:
    assert "outside the calendar" in reason_of(MINIMAL, timestamp_ms=2**62)
    assert parse_command(KEY, DATA, command_headers(METADATA), 2**62)[0] == METADATA


def test_a_record_of_before_timestamps_reads() -> None:
    assert parse_command(KEY, DATA, MINIMAL, -1)[0].time == "1969-12-31T23:59:59.999Z"


@pytest.mark.parametrize("key", [b"\xff\xfe", b"a\nb", b"k" * 2000, b"", None])
def test_a_key_that_cannot_be_an_id_leaves_the_subject_empty_and_the_record_readable(key: bytes | None) -> None:
    assert parse_command(key, DATA, MINIMAL, 0)[0].subject == ""


def test_an_event_without_an_aggregate_is_unreadable() -> None:
    headers = [each for each in event_headers(METADATA, 1, 1) if each[0] != "ce_subject"]
    with pytest.raises(UnreadableEnvelope, match="ce_subject is missing"):
        parse_event(None, DATA, headers, 0, "requests")
    assert parse_event(KEY, DATA, headers, 0, "requests").aggregate_id == "req-1"


@pytest.mark.parametrize("name", ["ce_sequence", "ce_position"])
@pytest.mark.parametrize("number", ["-1", "1.5", "x", "1" * 21, "\u0661", "1_0"])
def test_a_place_that_is_no_whole_number_is_unreadable(name: str, number: str) -> None:
    headers = [each for each in event_headers(METADATA, 1, 1) if each[0] != name]
    with pytest.raises(UnreadableEnvelope, match=f"{name} is not a whole number"):
        parse_event(KEY, DATA, [*headers, (name, number.encode())], 0, "requests")


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=50),
    headers=st.lists(
        st.tuples(
            st.sampled_from([*OUR_HEADERS, "ce_specversion", "content-type"]),
            st.none()
            | st.binary(max_size=30)
            | st.sampled_from([b"1.0", b"application/cloudevents+json", b"application/cloudevents-batch+json", TRACEPARENT.encode()]),
        ),
        max_size=12,
    ),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
)
def test_whatever_comes_is_read_or_refused_and_never_anything_else(
    key: bytes | None, value: bytes | None, headers: Any, timestamp_ms: int
) -> None:
    with suppress(UnreadableEnvelope):
        assert parse_event(key, value, headers, timestamp_ms, "requests").metadata.message_id


# --- structured mode --------------------------------------------------------------------------------------------------


def test_a_structured_command_reads_like_a_binary_one() -> None:
    assert parse_command(KEY, structured(METADATA, DATA), STRUCTURED, 0) == (METADATA, DATA)


def test_a_structured_event_keeps_its_place() -> None:
    value = structured(METADATA, DATA, 7, 1234)
    assert parse_event(KEY, value, STRUCTURED, 0, "requests") == RecordedEvent(METADATA, DATA, 7, 1234, "requests")
    assert json.loads(value)["sequence"] == "00000000000000000007"


def test_a_structured_place_may_be_a_number() -> None:
    value = json.dumps({**json.loads(structured(METADATA, DATA)), "sequence": 7, "position": 8}).encode()
    recorded = parse_event(KEY, value, STRUCTURED, 0, "requests")
    assert (recorded.sequence, recorded.position) == (7, 8)


def test_a_structured_command_of_id_and_type_takes_the_defaults() -> None:
    value = json.dumps({"specversion": "1.0", "id": "c-1", "type": "t", "data": {"a": 1}}).encode()
    metadata, data = parse_command(KEY, value, [*STRUCTURED, ("traceparent", TRACEPARENT.encode())], 0)
    assert data == b'{"a":1}'
    assert metadata.subject == "req-1"
    assert metadata.source == "unknown"
    assert metadata.traceparent == TRACEPARENT


def test_structured_data_may_be_base64() -> None:
    value = json.dumps({"specversion": "1.0", "id": "c-1", "type": "t", "data_base64": "eyJhIjoxfQ=="}).encode()
    assert parse_command(KEY, value, STRUCTURED, 0)[1] == b'{"a":1}'


@dataclass(frozen=True)
class BadStructured:
    value: bytes | None
    reason: str


def members(**changes: Any) -> bytes:
    return json.dumps({"specversion": "1.0", "id": "c-1", "type": "t", "data": {}, **changes}).encode()


@pytest.mark.parametrize(
    "bad",
    [
        BadStructured(b"{", "the structured value is not JSON in UTF-8"),
        BadStructured(None, "the structured value is not JSON in UTF-8"),
        BadStructured(b'{"a":"\xff"}', "the structured value is not JSON in UTF-8"),
        BadStructured(b"[]", "the structured value is not a JSON object"),
        BadStructured(members(specversion="0.3"), "specversion is not 1.0"),
        BadStructured(members(id=1), "attribute id is not text"),
        BadStructured(members(id=None), "ce_id is missing"),
        BadStructured(members(type=""), "ce_type is missing"),
        BadStructured(members(source={}), "attribute source is not text"),
        BadStructured(members(authid="a\nb"), "header ce_authid holds control characters"),
        BadStructured(members(subject="a" * 1025), "header ce_subject has 1025 bytes, at most 1024 are read"),
        BadStructured(b'{"specversion":"1.0","id":"c-1","type":"t"}', "the structured value has no data"),
        BadStructured(b'{"specversion":"1.0","id":"c-1","type":"t","data_base64":"*"}', "data_base64 is not base64"),
    ],
)
def test_a_broken_structured_value_is_unreadable(bad: BadStructured) -> None:
    assert reason_of(STRUCTURED, value=bad.value) == bad.reason


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents-batch+json", b"application/cloudevents+avro", b"application/cloudevents"]
)
def test_other_formats_of_cloudevents_are_refused_by_name(content_type: bytes) -> None:
    assert "other than application/cloudevents+json" in reason_of([("content-type", content_type)])


@pytest.mark.parametrize("content_type", [b"application/json; charset=utf-8", b"text/plain", b""])
def test_any_other_content_type_is_binary_mode(content_type: bytes) -> None:
    assert parse_command(KEY, DATA, with_header("content-type", content_type), 0) == (METADATA, DATA)


# --- the CloudEvents SDK as the judge -----------------------------------------------------------------------------------

ATTRIBUTES = {
    "id": "message_id",
    "type": "type_name",
    "source": "source",
    "subject": "subject",
    "time": "time",
    "tenantid": "tenant_id",
    "authtype": "auth_type",
    "authid": "auth_id",
    "correlationid": "correlation_id",
    "causationid": "causation_id",
}


def as_sdk_event(metadata: Metadata, data: Any) -> CloudEvent:
    return CloudEvent.create(
        {name: getattr(metadata, field) for name, field in ATTRIBUTES.items()} | {"datacontenttype": "application/json"}, data
    )


def agrees(event: Any, metadata: Metadata) -> bool:
    return all(event[name] == getattr(metadata, field) for name, field in ATTRIBUTES.items())


def test_the_sdk_reads_our_binary_records() -> None:
    event = from_binary(KafkaMessage(dict(event_headers(METADATA, 7, 9)), KEY, DATA))
    assert agrees(event, METADATA)
    assert event["specversion"] == "1.0"
    assert event["sequence"] == "00000000000000000007"
    assert event["position"] == "9"
    assert event.data == json.loads(DATA)


def test_the_sdk_reads_our_structured_records() -> None:
    event = from_structured(KafkaMessage(dict(STRUCTURED), KEY, structured(METADATA, DATA, 7, 9)))
    assert agrees(event, METADATA)
    assert event["sequence"] == "00000000000000000007"
    assert event["traceparent"] == TRACEPARENT
    assert event.data == json.loads(DATA)


def test_we_read_the_binary_records_of_the_sdk() -> None:
    message = to_binary(as_sdk_event(METADATA, json.loads(DATA)))
    metadata, data = parse_command(KEY, message.value, list(message.headers.items()), 0)
    assert metadata == METADATA._replace(traceparent=None, tracestate=None)
    assert json.loads(data) == json.loads(DATA)


def test_we_read_the_structured_records_of_the_sdk() -> None:
    # The SDK writes the data's content type into the record's header; the Kafka binding wants the envelope's there.
    message = to_structured(as_sdk_event(METADATA, json.loads(DATA)))
    metadata, data = parse_command(KEY, message.value, STRUCTURED, 0)
    assert metadata == METADATA._replace(traceparent=None, tracestate=None)
    assert json.loads(data) == json.loads(DATA)


def test_we_read_base64_data_of_the_sdk() -> None:
    message = to_structured(as_sdk_event(METADATA, DATA))
    assert b"data_base64" in message.value
    assert parse_command(KEY, message.value, STRUCTURED, 0)[1] == DATA


# --- round trips ------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)
TRACES = st.none() | st.just(TRACEPARENT)
METADATAS = st.builds(
    Metadata,
    message_id=TEXT,
    type_name=TEXT,
    source=TEXT,
    subject=TEXT,
    time=st.just("2026-05-04T09:30:00Z"),
    tenant_id=st.just("") | TEXT,
    auth_type=TEXT,
    auth_id=TEXT,
    correlation_id=TEXT,
    causation_id=TEXT,
    traceparent=TRACES,
    tracestate=st.none() | TEXT,
).map(lambda each: each if each.traceparent else each._replace(tracestate=None))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)
DATAS = st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=10), JSON_VALUES, max_size=4).map(
    lambda each: json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode()
)


@given(METADATAS, DATAS, st.integers(1, 10**18), st.integers(1, 10**18))
def test_every_event_survives_the_binary_mode(metadata: Metadata, data: bytes, sequence: int, position: int) -> None:
    recorded = parse_event(metadata.subject.encode(), data, event_headers(metadata, sequence, position), 0, "requests")
    assert recorded == RecordedEvent(metadata, data, sequence, position, "requests")


@given(METADATAS, DATAS, st.integers(1, 10**18), st.integers(1, 10**18))
def test_every_event_survives_the_structured_mode(metadata: Metadata, data: bytes, sequence: int, position: int) -> None:
    value = structured(metadata, data, sequence, position)
    recorded = parse_event(metadata.subject.encode(), value, STRUCTURED, 0, "requests")
    assert recorded == RecordedEvent(metadata, recorded.data, sequence, position, "requests")
    assert json.loads(recorded.data) == json.loads(data)


@given(METADATAS, DATAS)
def test_every_event_survives_the_store_byte_for_byte(metadata: Metadata, data: bytes) -> None:
    state = encode_stored(metadata, data)
    assert decode_stored(metadata.type_name, metadata.subject, state) == (metadata, data)
    assert json.loads(state)["data"] == json.loads(data)
    assert list(json.loads(state))[-1] == "data"


PLAIN = METADATAS.map(lambda each: Metadata(*(None if text is None else text.encode("ascii", "ignore").decode() for text in each)))


@given(METADATAS | PLAIN, DATAS, st.integers(0, 10**18), st.integers(1, 10**18))
def test_headers_made_from_the_stored_form_are_those_of_its_metadata(metadata: Metadata, data: bytes, sequence: int, position: int) -> None:
    state = encode_stored(metadata, data)
    expected = (event_headers(metadata, sequence, position), data)
    assert stored_headers(metadata.type_name, metadata.subject, state, sequence, position) == expected


@given(METADATAS)
def test_the_sdk_reads_whatever_we_write(metadata: Metadata) -> None:
    event = from_structured(KafkaMessage(dict(STRUCTURED), KEY, structured(metadata, DATA)))
    assert all(event[name] == (getattr(metadata, field) or None) for name, field in ATTRIBUTES.items() if name in event)


@pytest.mark.parametrize("hostile", [',"data":', '","data":{"x":1}}', '\\",\\"data\\":', "}", '"', "\\", '{"data":1}', ',"data":' * 50])
def test_content_that_looks_like_the_stored_form_stays_content(hostile: str) -> None:
    data = json.dumps({"metadata": {hostile: hostile}, "data": {"data": hostile}}, separators=(",", ":")).encode()
    metadata = METADATA._replace(auth_id=hostile, source=hostile, correlation_id=hostile, tracestate=hostile)
    state = encode_stored(metadata, data)
    assert decode_stored(metadata.type_name, metadata.subject, state) == (metadata, data)
    assert stored_headers(metadata.type_name, metadata.subject, state, 1, 1) == (event_headers(metadata, 1, 1), data)


@pytest.mark.parametrize("state", [b"", b"{", b"{}", b'{"id":"x"}', b"[]", b"1", b'{"id":"x","data":{}}', b"\xff"])
def test_bytes_that_are_no_stored_event_are_unreadable(state: bytes) -> None:
    with pytest.raises(UnreadableEnvelope, match="the stored event has no"):
        decode_stored("t", "a", state)
    with pytest.raises(UnreadableEnvelope, match="the stored event has no"):
        stored_headers("t", "a", state, 1, 1)


def test_a_stored_event_that_was_cut_short_is_unreadable() -> None:
    state = encode_stored(METADATA, DATA)
    for cut in (state[:-1] + b" ", state[: state.index(b',"data":')]):
        with pytest.raises(UnreadableEnvelope):
            decode_stored("t", "a", cut)
        with pytest.raises(UnreadableEnvelope):
            stored_headers("t", "a", cut, 1, 1)
