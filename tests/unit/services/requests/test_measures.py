"""How long requests and their approvals took: told by the events that end them, each once."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from contracts.message import Command
from infra.runtime.base import Duration, Measured
from services.requests.domain import Request
from services.requests.measures import LABELS, MEASURES
from tests.unit.services.requests.request_states import (
    APPROVE,
    COMPLETE,
    DELETE,
    EXPIRE,
    FAIL,
    HOUR,
    NOW,
    REJECT,
    UPDATE,
    context,
    decide,
    fold,
    request_in,
)

LATER = 5 * HOUR


def durations(request: Request, command: Command, later: timedelta = LATER) -> Sequence[tuple[str, str, timedelta]]:
    """What a command ends that is decided so much later than all before it."""
    found: list[Duration] = []
    for event in decide(request, command, context(at=NOW + later)):
        found.extend(MEASURES[type(event)](request, event) if type(event) in MEASURES else ())
        request = fold(request, [event])
    return [(measured.value, label, timedelta(seconds=seconds)) for measured, label, seconds in found]


@pytest.mark.parametrize(
    ("state", "command", "expected"),
    [
        ("awaiting", APPROVE, [("approval_wait", "approved", LATER)]),
        ("awaiting", REJECT, [("request_duration", "rejected", LATER), ("approval_wait", "rejected", LATER)]),
        ("awaiting", EXPIRE, [("approval_wait", "expired", LATER), ("request_duration", "rejected", LATER)]),
        ("approved", COMPLETE, [("request_duration", "completed", LATER)]),
        ("researching", FAIL, [("request_duration", "failed", LATER)]),
        ("pending", DELETE, [("request_duration", "deleted", LATER)]),
        ("completed", DELETE, []),
        ("pending", APPROVE, []),
        ("pending", UPDATE, []),
    ],
)
def test_an_end_tells_how_long_it_took(state: str, command: Command, expected: Sequence[tuple[str, str, timedelta]]) -> None:
    assert durations(request_in(state), command) == expected


def test_every_label_is_known_before_the_first() -> None:
    ends = {"awaiting": (APPROVE, REJECT, EXPIRE), "approved": (COMPLETE,), "pending": (FAIL, DELETE)}
    told = {each[:2] for state, commands in ends.items() for command in commands for each in durations(request_in(state), command)}
    assert told == {(measured.value, label) for measured, labels in LABELS.items() for label in labels}
    assert set(LABELS) == set(Measured)
