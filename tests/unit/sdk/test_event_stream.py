"""The client's reader of Server-Sent Events: cut anywhere, with every end of a line, it finds the same events and goes on."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh_client.calls import Answer
from agentmesh_client.errors import Forbidden, NotConnected, Unauthorized, Unavailable, UnexpectedAnswer
from agentmesh_client.event_stream import MOST_BYTES, Following, Frame, Parser, stream_call
from agentmesh_client.models import Event, Partial

TEXT = ": follow\nid: requests:1\nretry: 250\n\nid: requests:2\nevent: a\ndata: {\ndata: é}\n\n: heartbeat\nid: requests:3\n\ndata:x\n\n"
FRAMES = [Frame("a", "{\né}", "requests:2"), Frame("message", "x", "requests:3")]
EVENT = {
    "id": "e-1",
    "type": "agentmesh.requests.RequestCreated.v1",
    "source": "/agentmesh/requests",
    "subject": "req-1",
    "time": "2026-05-04T12:00:00Z",
    "tenantid": "acme",
    "sequence": "00000000000000000001",
    "position": "17",
    "data": {"request_id": "req-1"},
    "added_later": 1,
}


@given(end=st.sampled_from(["\n", "\r\n", "\r"]), cuts=st.lists(st.integers(1, len(TEXT)), max_size=12))
def test_wherever_it_is_cut_the_events_are_the_same(end: str, cuts: list[int]) -> None:
    content = "\ufeff".encode() + TEXT.replace("\n", end).encode()
    places = [0, *sorted(cuts), len(content)]
    parser = Parser()
    found = [frame for start, stop in pairwise(places) for frame in parser.feed(content[start:stop])]
    assert found == FRAMES
    assert (parser.last_id, parser.retry_ms) == ("requests:3", 250)


def test_an_event_that_is_not_ended_was_not_received_and_its_id_does_not_count() -> None:
    parser = Parser("requests:1")
    assert list(parser.feed(b"id: requests:2\ndata: x\n")) == []
    assert parser.last_id == "requests:1"


def test_an_event_without_an_end_is_not_read_on() -> None:
    parser = Parser()
    assert list(parser.feed(b"x" * MOST_BYTES)) == []
    with pytest.raises(UnexpectedAnswer, match="longer than"):
        list(parser.feed(b"x"))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def following(patience: float | None = None, last: str | None = None) -> tuple[Following, Clock]:
    clock = Clock()
    return Following(stream_call(["requests"]), last, patience, clock), clock


def wire(**changes: object) -> bytes:
    return f"id: requests:17\r\nevent: {EVENT['type']}\r\ndata: {json.dumps({**EVENT, **changes})}\r\n\r\n".encode()


def test_an_event_is_typed_and_knows_its_place() -> None:
    reader, _ = following()
    (event,) = reader.took(wire())
    assert isinstance(event, Event)
    assert (event.position, event.sequence, event.tenant_id, event.context, event.place) == (17, 1, "acme", "requests", "requests:17")
    with pytest.raises(UnexpectedAnswer):
        list(reader.took(wire(position="x")))


def test_it_goes_on_after_the_last_whole_event() -> None:
    reader, _ = following(last="requests:9")
    assert (reader.call().headers or {})["Last-Event-ID"] == "requests:9"
    assert list(reader.took(wire() + b"id: requests:18\r\ndata: {"))
    again = reader.call()
    assert (again.headers or {})["Last-Event-ID"] == "requests:17"
    assert list(reader.took(b"\r\n")) == []  # nothing of the connection before is left
    assert again.query == (("context", "requests"), ("from", "now"))


def test_a_closing_is_no_event_and_its_hint_is_kept() -> None:
    reader, _ = following()
    reader.opened()
    assert list(reader.took(b'event: closing\r\ndata: {"reason":"drained"}\r\nretry: 2500\r\n\r\n')) == []
    assert reader.pause() == 2.5


def test_what_a_model_has_said_so_far_is_no_event_and_has_no_place() -> None:
    reader, _ = following(last="requests:9")
    said = b'event: partial\r\ndata: {"task_id":"t-1","attempt":1,"operation":"draft","number":1,"text":"Dear"}\r\n\r\n'
    assert list(reader.took(said)) == [Partial(task_id="t-1", attempt=1, operation="draft", number=1, text="Dear")]
    assert (reader.call().headers or {})["Last-Event-ID"] == "requests:9"


def test_failures_in_a_row_wait_longer_and_a_connection_begins_anew() -> None:
    reader, _ = following()
    for _ in range(8):
        assert reader.resumes(NotConnected("x"))
    assert 8 <= reader.pause() <= 12
    assert reader.resumes(Unavailable("x", retry_after=30))
    assert reader.pause() == 30
    reader.opened()
    assert reader.pause() == 1


def test_patience_ends() -> None:
    reader, clock = following(patience=5)
    clock.now = 4
    assert reader.resumes(NotConnected("x"))
    clock.now = 6
    assert not reader.resumes(NotConnected("x"))
    reader.opened()
    assert reader.resumes(NotConnected("x"))


def test_what_coming_again_does_not_help_is_raised() -> None:
    reader, _ = following()
    assert not reader.resumes(Forbidden("x"))
    with pytest.raises(Forbidden):
        reader.refused(Answer(403, {}, b""), renews=True)


def test_a_token_is_renewed_once_before_its_refusal_is_raised() -> None:
    reader, _ = following()
    reader.refused(Answer(401, {}, b""), renews=True)
    assert reader.renew
    assert reader.pause() == 0
    with pytest.raises(Unauthorized):
        reader.refused(Answer(401, {}, b""), renews=True)
    with pytest.raises(Unauthorized):
        following()[0].refused(Answer(401, {}, b""), renews=False)
