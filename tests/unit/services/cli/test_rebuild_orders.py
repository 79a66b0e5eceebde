"""What the command line says of orders of rebuilds."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.rebuild_orders.base import Failure, OrderState, RebuildOrder
from services.cli.rebuild_orders import in_words, shown

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ORDER = RebuildOrder("o-1", "requests", OrderState.WAITING, "ann", None, NOW, None, None, 0, None, 0, None, 0, None, None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "rebuild waiting"),
        ({"state": OrderState.RUNNING}, "rebuild running"),
        ({"state": OrderState.RUNNING, "done": 25, "total": 100}, "rebuild running 25 %"),
        ({"state": OrderState.FAILED, "failure": Failure.GIVEN_UP}, "rebuild failed (given_up)"),
        ({"state": OrderState.DONE, "done": 100, "total": 100}, ""),
    ],
)
def test_a_list_says_how_far_an_order_is(changes: dict[str, Any], says: str) -> None:
    assert in_words(replace(ORDER, **changes)) == says


def test_without_an_order_nothing_is_said_and_who_builds_it_is_nobodys() -> None:
    assert (in_words(None), shown(None)) == ("", None)
    assert {"order_id", "state", "done", "total"} < set(shown(ORDER) or {})
    assert "taken_by" not in (shown(ORDER) or {})
