"""Streams as they were recorded once, folded by today's code: history stays readable, whatever the code has become."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import decode_stored, encode_stored, event_headers, parse_event
from contracts.requests.events import RequestCreated, RequestEvent
from contracts.upcasting import UPCASTERS, UnknownMessageType, Upcasters, decode_event
from services.requests.domain import Request, evolve

GOLDEN = Path(__file__).resolve().parents[3] / "data" / "golden" / "requests"
STREAMS = sorted(GOLDEN.glob("*.jsonl"))
URGENCIES = {"low": 1, "normal": 2, "high": 3, "urgent": 4}


def from_v0(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 0 said text for message and a word for the priority, and knew no time of asking."""
    kept = {name: value for name, value in fields.items() if name not in ("text", "urgency")}
    return {**kept, "message": fields["text"], "priority": URGENCIES[fields["urgency"]], "requested_at": fields["created_at"]}


TEST_UPCASTERS: Upcasters = {**UPCASTERS, "agentmesh.requests.RequestCreated.v0": (RequestCreated.type_name, from_v0)}


def recorded(stream: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.read_text(encoding="utf-8").splitlines()]


def folded(stream: Path, upcasters: Upcasters = TEST_UPCASTERS) -> Request:
    state: Request | None = None
    for line in recorded(stream):
        _, data = decode_stored(line["type_name"], line["aggregate_id"], line["state"].encode())
        event = decode_event(line["type_name"], data, upcasters)
        assert isinstance(event, RequestEvent)
        assert event.aggregate_id == line["aggregate_id"]
        state = evolve(state, event)
    assert state is not None
    return state


def test_there_are_golden_streams() -> None:
    assert {stream.stem for stream in STREAMS} >= {"completed", "updated_then_deleted", "old_version"}


@pytest.mark.parametrize("stream", STREAMS, ids=lambda path: path.stem)
def test_todays_code_folds_a_recorded_stream_to_the_recorded_state(stream: Path) -> None:
    expected = json.loads(stream.with_suffix(".state.json").read_text(encoding="utf-8"))
    assert folded(stream).model_dump(mode="json") == expected


@pytest.mark.parametrize("stream", STREAMS, ids=lambda path: path.stem)
def test_recorded_versions_count_up_from_one(stream: Path) -> None:
    assert [line["version"] for line in recorded(stream)] == list(range(1, len(recorded(stream)) + 1))


@pytest.mark.parametrize("stream", STREAMS, ids=lambda path: path.stem)
def test_a_recorded_event_is_published_with_its_bytes_as_they_were_stored(stream: Path) -> None:
    for line in recorded(stream):
        metadata, data = decode_stored(line["type_name"], line["aggregate_id"], line["state"].encode())
        assert encode_stored(metadata, data) == line["state"].encode()
        headers = event_headers(metadata, line["version"], line["position"])
        published = parse_event(line["aggregate_id"].encode(), data, headers, 0, "requests")
        assert (published.metadata, published.data) == (metadata, data)


def test_an_old_version_is_unknown_without_its_upcaster() -> None:
    with pytest.raises(UnknownMessageType, match=r"RequestCreated\.v0"):
        folded(GOLDEN / "old_version.jsonl", UPCASTERS)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda path: path.stem)
def test_what_was_written_once_is_written_the_same_today(stream: Path) -> None:
    for line in recorded(stream):
        if line["type_name"] in TEST_UPCASTERS or stream.stem == "old_version":
            continue
        _, data = decode_stored(line["type_name"], line["aggregate_id"], line["state"].encode())
        assert decode_event(line["type_name"], data).to_json() == data
