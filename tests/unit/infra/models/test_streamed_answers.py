"""Answers that are told on their way: the same whole answer, in pieces; one that breaks off is asked for again, and begins anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.models.base import ModelUnavailable
from infra.partial_outputs.base import Piece, Teller, Topic
from tests.model_endpoint import ModelEndpoint, failing, model_endpoint, streamed
from tests.unit.infra.models.test_openai_compatible import GOOD, QUESTION, asking

TOPIC = Topic(tenant_id="test-tenant", subject_id="req-1", task_id="task-1", attempt=1)


@pytest.fixture
def endpoint() -> Iterator[ModelEndpoint]:
    with model_endpoint() as server:
        yield server


class Told:
    """Takes pieces down."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def tell(self, piece: Piece) -> None:
        self.pieces.append(piece)

    async def close(self) -> None:
        return None


async def test_a_streamed_answer_is_the_whole_answer_and_is_told_on_its_way(endpoint: ModelEndpoint) -> None:
    endpoint.script = [streamed(GOOD, parts=5)]
    told: list[str | None] = []
    async with asking(endpoint) as asked:
        answered = await asked.model.answer(QUESTION, told.append)
    assert (answered.output.priority, answered.usage.calls, answered.usage.input_tokens) == (3, 1, 40)
    assert told[0] is None
    said = [each for each in told[1:] if each]
    assert len(said) == 5
    assert json.loads("".join(said)) == GOOD


async def test_an_answer_that_breaks_off_is_asked_for_again_and_told_anew(endpoint: ModelEndpoint) -> None:
    endpoint.script = [streamed(GOOD, parts=5, cut_after=2), streamed(GOOD, parts=5)]
    told: list[str | None] = []
    async with asking(endpoint) as asked:
        assert (await asked.model.answer(QUESTION, told.append)).output.priority == 3
    assert told.count(None) == 2
    assert json.loads("".join(each for each in told[len(told) - 1 - told[::-1].index(None) :] if each)) == GOOD
    assert endpoint.calls == 2


async def test_one_that_keeps_breaking_off_is_unavailable(endpoint: ModelEndpoint) -> None:
    for broken in (streamed(GOOD, cut_after=2), failing(500)):
        endpoint.then = broken
        async with asking(endpoint) as asked:
            with pytest.raises(ModelUnavailable):
                await asked.model.answer(QUESTION, lambda _: None)


def test_what_is_said_is_gathered_into_pieces_that_count_from_one() -> None:
    told, now = Told(), [10.0]
    teller = Teller(told, TOPIC, "triage", seconds=0.1, clock=lambda: now[0])

    def say(text: str | None, after: float = 0.0) -> None:
        now[0] += after
        teller(text)

    say(None)
    for text, after in (("a", 0.0), ("b", 0.05), ("c", 0.06), ("d", 0.01)):
        say(text, after)
    teller.flush()
    teller.flush()
    assert [(piece.number, piece.text) for piece in told.pieces] == [(1, "a"), (2, "bc"), (3, "d")]
    say("lost")
    say(None)
    say("e")
    assert [(piece.number, piece.text) for piece in told.pieces[3:]] == [(1, "e")]


def test_a_piece_is_json_and_back() -> None:
    piece = Piece(topic=TOPIC, operation="triage", number=1, text='{"category": "bill')
    assert Piece.model_validate_json(piece.model_dump_json()) == piece
    found: dict[str, Any] = json.loads(piece.model_dump_json())
    assert set(found) == {"topic", "operation", "number", "text"}
