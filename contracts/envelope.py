"""CloudEvents on Kafka: record key, value and headers in, metadata and data out, and back; also the stored form of an event.

Readers take binary and structured mode; writers use binary mode. The value is the data alone: there is no second envelope in it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from contracts.message import Event
from contracts.upcasting import decode_event

MAX_HEADER_BYTES = 1024
MAX_TRACESTATE_BYTES = 512
MAX_NUMBER_DIGITS = 20
SPEC_VERSION = "1.0"
JSON_TYPE = "application/json"
STRUCTURED_TYPE = "application/cloudevents+json"
UNKNOWN = "unknown"

Headers = Iterable[tuple[str, bytes]]


class Metadata(NamedTuple):
    """What travels in headers, for commands and events alike. A tuple: a frozen dataclass costs three times as much to make."""

    message_id: str
    type_name: str
    source: str
    subject: str
    """The aggregate's id; of a command without ce_subject, the record's key."""
    time: str
    """RFC 3339."""
    tenant_id: str
    """Empty where the sender did not say."""
    auth_type: str
    auth_id: str
    correlation_id: str
    causation_id: str
    traceparent: str | None = None
    tracestate: str | None = None


class RecordedEvent(NamedTuple):
    """One stored event as everybody downstream sees it."""

    metadata: Metadata
    data: bytes
    sequence: int
    """The version in its stream, from 1; 0 for a record that is in no stream (a rejection)."""
    position: int
    """The position in the context's log; 0 where it is not known."""
    context: str

    @property
    def aggregate_id(self) -> str:
        """The stream that the event belongs to."""
        return self.metadata.subject

    def event(self) -> Event:
        """The event itself, decoded and upcast; decoded anew at each call."""
        return decode_event(self.metadata.type_name, self.data)


class UnreadableEnvelope(Exception):
    """The record cannot be read as a CloudEvent, so nobody knows which message it is."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- reading --------------------------------------------------------------------------------------------------------

_NAMES = (
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_subject",
    "ce_time",
    "ce_tenantid",
    "ce_authtype",
    "ce_authid",
    "ce_correlationid",
    "ce_causationid",
    "traceparent",
    "tracestate",
    "ce_sequence",
    "ce_position",
)
_SUBJECT = _NAMES.index("ce_subject")
_TRACEPARENT_AT, _TRACESTATE_AT = _NAMES.index("traceparent"), _NAMES.index("tracestate")
_SEQUENCE, _POSITION = _NAMES.index("ce_sequence"), _NAMES.index("ce_position")
_OURS = frozenset((*_NAMES, "ce_specversion", "content-type"))
_CONTROLS = bytes((*range(32), 127))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def parse_command(key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int) -> tuple[Metadata, bytes]:
    """Metadata and data of a command's record, defaults filled in. Raises UnreadableEnvelope."""
    texts, data = _read(key, value, headers)
    return _metadata(texts, timestamp_ms), data


def parse_event(key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, context: str) -> RecordedEvent:
    """An event's or a rejection's record. Raises UnreadableEnvelope."""
    texts, data = _read(key, value, headers)
    if not texts[_SUBJECT]:
        raise UnreadableEnvelope("ce_subject is missing, and the key names no aggregate either")
    sequence, position = _number("ce_sequence", texts[_SEQUENCE]), _number("ce_position", texts[_POSITION])
    return RecordedEvent(_metadata(texts, timestamp_ms), data, sequence, position, context)


def _read(key: bytes | None, value: bytes | None, headers: Headers) -> tuple[list[str], bytes]:
    """The texts of the headers in `_NAMES`, empty where absent, and the data."""
    given = headers if isinstance(headers, (list, tuple)) else list(headers)
    found = dict(given)
    if len(found) != len(given):
        _refuse_duplicates(given)
    get = found.get
    content_type = get("content-type")
    if content_type is not None and content_type != b"application/json" and _is_structured(content_type):
        return _read_structured(key, value, found)
    if get("ce_specversion", b"1.0") != b"1.0":
        raise UnreadableEnvelope("ce_specversion is not 1.0")
    if value is None:
        raise UnreadableEnvelope("the record has no value: a tombstone is no message")
    raw = (
        get("ce_id", b""),
        get("ce_type", b""),
        get("ce_source", b""),
        get("ce_subject", key or b""),
        get("ce_time", b""),
        get("ce_tenantid", b""),
        get("ce_authtype", b""),
        get("ce_authid", b""),
        get("ce_correlationid", b""),
        get("ce_causationid", b""),
        get("traceparent", b""),
        get("tracestate", b""),
        get("ce_sequence", b""),
        get("ce_position", b""),
    )
    return _texts(raw, "ce_subject" in found), value


def _texts(raw: tuple[bytes, ...], has_subject: bool) -> list[str]:
    """The header values as text. Joined they are checked and decoded in one go; whatever is unusual is then looked at one by one."""
    try:
        joined = b" ".join(raw)
        if len(joined) <= MAX_TRACESTATE_BYTES and len(joined.translate(None, _CONTROLS)) == len(joined):
            texts = joined.decode("ascii").split(" ")
            if len(texts) == len(raw):
                return texts
    except (TypeError, UnicodeDecodeError):
        pass
    return [_text(name, each, has_subject) for name, each in zip(_NAMES, raw, strict=True)]


def _text(name: str, raw: bytes | None, has_subject: bool) -> str:
    """One header value as text. The key stands in for a missing subject, and may hold anything."""
    try:
        return _checked(name, raw)
    except UnreadableEnvelope:
        if name == "ce_subject" and not has_subject:
            return ""
        raise


def _checked(name: str, raw: bytes | None) -> str:
    if raw is None:
        raise UnreadableEnvelope(f"header {name} has no value")
    limit = MAX_TRACESTATE_BYTES if name == "tracestate" else MAX_HEADER_BYTES
    if len(raw) > limit:
        raise UnreadableEnvelope(f"header {name} has {len(raw)} bytes, at most {limit} are read")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UnreadableEnvelope(f"header {name} is not UTF-8") from None
    if _CONTROL.search(text):
        raise UnreadableEnvelope(f"header {name} holds control characters")
    return text


def _metadata(texts: list[str], timestamp_ms: int) -> Metadata:
    id_, type_, source, subject, time, tenant, authtype, authid, correlation, causation, parent, state, _, _ = texts
    if not id_:
        raise UnreadableEnvelope("ce_id is missing")
    if not type_:
        raise UnreadableEnvelope("ce_type is missing")
    # A broken traceparent is as good as none, and a tracestate means nothing without one (W3C Trace Context).
    trace = parent if parent and _TRACEPARENT.fullmatch(parent) else None
    return Metadata(
        id_,
        type_,
        source or UNKNOWN,
        subject,
        _checked_time(time) if time else _time_of(timestamp_ms),
        tenant,
        authtype or UNKNOWN,
        authid or UNKNOWN,
        correlation or id_,
        causation or id_,
        trace,
        state or None if trace else None,
    )


# Both are called once a record, mostly with what the record before had: a batch of events shares its time, commands share milliseconds.
@lru_cache(maxsize=1024)
def _checked_time(text: str) -> str:
    if _TIME.fullmatch(text) is None:
        raise UnreadableEnvelope("ce_time is not an RFC 3339 time")
    return text


@lru_cache(maxsize=1024)
def _time_of(timestamp_ms: int) -> str:
    """The record's timestamp as RFC 3339."""
    try:
        moment = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise UnreadableEnvelope("ce_time is missing, and the record's timestamp is outside the calendar") from None
    return f"{moment.replace(tzinfo=None).isoformat()}.{timestamp_ms % 1000:03d}Z"


def _number(name: str, text: str) -> int:
    if text.isdigit() and text.isascii() and len(text) <= MAX_NUMBER_DIGITS:
        return int(text)
    if text:
        raise UnreadableEnvelope(f"{name} is not a whole number")
    return 0


def _refuse_duplicates(given: Iterable[tuple[str, bytes]]) -> None:
    """Two values of one header of ours contradict each other; headers that we do not read may repeat."""
    seen: set[str] = set()
    for name, _ in given:
        if name in seen and name in _OURS:
            raise UnreadableEnvelope(f"header {name} comes twice")
        seen.add(name)


# --- structured mode ------------------------------------------------------------------------------------------------


def _is_structured(content_type: bytes) -> bool:
    """True for a CloudEvent in JSON; other CloudEvents formats and batches are refused by name."""
    kind = content_type.split(b";", 1)[0].strip().lower()
    if kind == b"application/cloudevents+json":
        return True
    if kind.startswith(b"application/cloudevents"):
        raise UnreadableEnvelope("content-type is a CloudEvents format other than application/cloudevents+json")
    return False


def _read_structured(key: bytes | None, value: bytes | None, headers: dict[str, bytes]) -> tuple[list[str], bytes]:
    try:
        event = from_json(value or b"", allow_inf_nan=False)
    except ValueError:
        raise UnreadableEnvelope("the structured value is not JSON in UTF-8") from None
    if not isinstance(event, dict):
        raise UnreadableEnvelope("the structured value is not a JSON object")
    if event.get("specversion") != SPEC_VERSION:
        raise UnreadableEnvelope("specversion is not 1.0")
    raw = [_attribute(event, name) for name in _NAMES]
    has_subject = bool(raw[_SUBJECT])
    raw[_SUBJECT] = raw[_SUBJECT] or key or b""
    for index in (_TRACEPARENT_AT, _TRACESTATE_AT):
        raw[index] = raw[index] or headers.get(_NAMES[index], b"")
    return _texts(tuple(raw), has_subject), _data_of(event)


def _attribute(event: dict[str, Any], name: str) -> bytes:
    value = event.get(name.removeprefix("ce_"))
    if value is None:
        return b""
    if isinstance(value, int) and name in ("ce_sequence", "ce_position"):
        value = str(value)
    if not isinstance(value, str):
        raise UnreadableEnvelope(f"attribute {name.removeprefix('ce_')} is not text")
    return value.encode()


def _data_of(event: dict[str, Any]) -> bytes:
    if "data" in event:
        return to_json(event["data"])
    encoded = event.get("data_base64")
    if not isinstance(encoded, str):
        raise UnreadableEnvelope("the structured value has no data")
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        raise UnreadableEnvelope("data_base64 is not base64") from None


# --- writing --------------------------------------------------------------------------------------------------------


def event_headers(metadata: Metadata, sequence: int, position: int) -> list[tuple[str, bytes]]:
    """The Kafka headers of an event, or of a rejection, which is in no stream: its sequence is 0 and not written."""
    headers = _headers(metadata)
    _add_place(headers, sequence, position)
    return headers


def _add_place(headers: list[tuple[str, bytes]], sequence: int, position: int) -> None:
    if sequence:
        headers.append(("ce_sequence", b"%020d" % sequence))
    headers.append(("ce_position", b"%d" % position))


def command_headers(metadata: Metadata) -> list[tuple[str, bytes]]:
    """The Kafka headers of a command, as gateway, CLI and process managers send it."""
    return _headers(metadata)


def _headers(metadata: Metadata) -> list[tuple[str, bytes]]:
    id_, type_, source, subject, time, tenant, authtype, authid, correlation, causation, traceparent, tracestate = metadata
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_.encode()),
        ("ce_type", type_.encode()),
        ("ce_source", source.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", time.encode()),
        ("ce_authtype", authtype.encode()),
        ("ce_authid", authid.encode()),
        ("ce_correlationid", correlation.encode()),
        ("ce_causationid", causation.encode()),
        ("content-type", b"application/json"),
    ]
    if tenant:
        headers.append(("ce_tenantid", tenant.encode()))
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
        if tracestate is not None:
            headers.append(("tracestate", tracestate.encode()))
    return headers


def structured(metadata: Metadata, data: bytes, sequence: int | None = None, position: int | None = None) -> bytes:
    """A structured-mode CloudEvent in JSON. The data is put in as it is, so it must be JSON."""
    attributes = {
        "specversion": SPEC_VERSION,
        "id": metadata.message_id,
        "type": metadata.type_name,
        "source": metadata.source,
        "subject": metadata.subject or None,
        "time": metadata.time,
        "tenantid": metadata.tenant_id or None,
        "authtype": metadata.auth_type,
        "authid": metadata.auth_id,
        "correlationid": metadata.correlation_id,
        "causationid": metadata.causation_id,
        "traceparent": metadata.traceparent,
        "tracestate": metadata.tracestate,
        "sequence": None if sequence is None else f"{sequence:020d}",
        "position": None if position is None else str(position),
        "datacontenttype": JSON_TYPE,
    }
    return _with_data({name: value for name, value in attributes.items() if value is not None}, data)


def _with_data(members: dict[str, Any], data: bytes) -> bytes:
    return b'%s,"data":%s}' % (to_json(members)[:-1], data)


# --- the stored form ------------------------------------------------------------------------------------------------

# Inside a JSON text a quotation mark is always escaped, so this cannot occur before the real data member.
_DATA = b',"data":'


def encode_stored(metadata: Metadata, data: bytes) -> bytes:
    """One JSON object whose last member is the data, byte for byte; type and aggregate id are columns of the store."""
    members = {
        "id": metadata.message_id,
        "source": metadata.source,
        "time": metadata.time,
        "tenantid": metadata.tenant_id,
        "authtype": metadata.auth_type,
        "authid": metadata.auth_id,
        "correlationid": metadata.correlation_id,
        "causationid": metadata.causation_id,
    }
    if metadata.traceparent is not None:
        members["traceparent"] = metadata.traceparent
    if metadata.tracestate is not None:
        members["tracestate"] = metadata.tracestate
    return _with_data(members, data)


_PLAIN = rb'"([^"\\\x00-\x1f\x80-\xff]*)"'
_PLAIN_HEAD = re.compile(
    rb'{"id":%b,"source":%b,"time":%b,"tenantid":%b,"authtype":%b,"authid":%b,"correlationid":%b,"causationid":%b'
    rb'(?:,"traceparent":%b)?(?:,"tracestate":%b)?,"data":' % ((_PLAIN,) * 10)
)
_SPEC_PAIR = ("ce_specversion", SPEC_VERSION.encode())
_JSON_PAIR = ("content-type", JSON_TYPE.encode())


def stored_headers(type_name: str, aggregate_id: str, state: bytes, sequence: int, position: int) -> tuple[list[tuple[str, bytes]], bytes]:
    """`event_headers` and data of the stored form. Where the head is plain ASCII, as nearly always, its values go on as they are."""
    found = _PLAIN_HEAD.match(state)
    if found is None or state[-1:] != b"}":
        metadata, data = decode_stored(type_name, aggregate_id, state)
        return event_headers(metadata, sequence, position), data
    id_, source, time, tenant, authtype, authid, correlation, causation, traceparent, tracestate = found.groups()
    headers = [
        _SPEC_PAIR,
        ("ce_id", id_),
        ("ce_type", type_name.encode()),
        ("ce_source", source),
        ("ce_subject", aggregate_id.encode()),
        ("ce_time", time),
        ("ce_authtype", authtype),
        ("ce_authid", authid),
        ("ce_correlationid", correlation),
        ("ce_causationid", causation),
        _JSON_PAIR,
    ]
    if tenant:
        headers.append(("ce_tenantid", tenant))
    if traceparent is not None:
        headers.append(("traceparent", traceparent))
        if tracestate is not None:
            headers.append(("tracestate", tracestate))
    _add_place(headers, sequence, position)
    return headers, state[found.end() : -1]


def decode_stored(type_name: str, aggregate_id: str, state: bytes) -> tuple[Metadata, bytes]:
    """Metadata and data of the stored form. Raises UnreadableEnvelope for bytes that `encode_stored` did not write."""
    head, separator, data = state.partition(_DATA)
    try:
        members = from_json(head + b"}")
        metadata = Metadata(
            members["id"],
            type_name,
            members["source"],
            aggregate_id,
            members["time"],
            members["tenantid"],
            members["authtype"],
            members["authid"],
            members["correlationid"],
            members["causationid"],
            members.get("traceparent"),
            members.get("tracestate"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableEnvelope(f"the stored event has no readable head: {type(error).__name__}") from None
    if not separator or data[-1:] != b"}":
        raise UnreadableEnvelope("the stored event has no data")
    return metadata, data[:-1]
