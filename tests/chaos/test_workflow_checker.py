"""The checker of the fleet's chaos run: a clean run passes, and each fault that is planted is found under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.workflow_checker import FAULTS, FleetRun, LedgerRow, RequestEnd, TaskEnd, check_fleet


def clean_run() -> FleetRun:
    """One request of each good end, a host killed, a model call repeated for it."""
    return FleetRun(
        accepted=["a", "b", "c", "d"],
        requests={
            "a": RequestEnd("completed", 4, 1),
            "b": RequestEnd("failed", 3, 1, "The task triage ended with FAILURE: given up."),
            "c": RequestEnd("awaiting_approval", 4, 0),
            "d": RequestEnd("rejected", 5, 1, "approval_expired"),
        },
        rows={"a": ("completed", 4), "b": ("failed", 3), "c": ("awaiting_approval", 4), "d": ("rejected", 5)},
        tasks={"t1": TaskEnd("a", "triage", 2, 1), "t2": TaskEnd("a", "resolution", 1, 1)},
        ledger={"m1": LedgerRow("model", "recorded", 2), "p1": LedgerRow("payment", "recorded", 1)},
        payments={"p1": 1},
        model_calls={"m1": 2},
        refunds={"r1": 1},
        approved_refunds=1,
        paid_steps=1,
        host_kills=1,
    )


def test_a_clean_run_has_no_fault() -> None:
    report = check_fleet(clean_run())
    assert report.clean, report.text()
    assert report.figures["completed"] == report.figures["failed"] == report.figures["rejected"] == 1
    assert report.figures["tasks with another attempt"] == 1
    assert report.figures["model calls repeated"] == 1


def changed(name: str, key: str, value: Any) -> Callable[[FleetRun], FleetRun]:
    """The run with one entry of one mapping replaced."""
    return lambda run: replace(run, **{name: {**getattr(run, name), key: value}})


PLANTED: dict[str, tuple[str, Callable[[FleetRun], FleetRun]]] = {
    "a request without a stream": ("lost", lambda run: replace(run, accepted=[*run.accepted, "e"])),
    "a request that stands still": ("stuck", changed("requests", "a", RequestEnd("in_progress", 3, 0))),
    "a request that was never triaged": ("stuck", changed("requests", "a", RequestEnd("pending", 1, 0))),
    "an answer sent twice": ("ended_twice", changed("requests", "a", RequestEnd("completed", 5, 2))),
    "a failure without a reason": ("failed_without_reason", changed("requests", "b", RequestEnd("failed", 3, 1, " "))),
    "an older state in the read model": ("wrong_in_read_model", changed("rows", "a", ("in_progress", 3))),
    "no row in the read model": ("wrong_in_read_model", lambda run: replace(run, rows={})),
    "a task that nobody ended": ("stuck_tasks", changed("tasks", "t2", TaskEnd("a", "resolution", 1, 0))),
    "a task that ended twice": ("ended_twice", changed("tasks", "t2", TaskEnd("a", "resolution", 1, 2))),
    "a parked command": ("parked", lambda run: replace(run, parked=["KeyError"])),
    "a payment made twice": ("effects_twice", changed("payments", "p1", 2)),
    "a payment recorded and not made": ("effects_lost", lambda run: replace(run, payments={})),
    "a payment of which the ledger knows nothing": ("effects_lost", changed("payments", "p2", 1)),
    "a step that paid nothing": ("effects_lost", lambda run: replace(run, paid_steps=2)),
    "a refund paid twice": ("effects_twice", changed("refunds", "r1", 2)),
    "a refund told and not paid": ("effects_lost", lambda run: replace(run, refunds={})),
    "a refund left to a person": ("effects_unsettled", changed("ledger", "r", LedgerRow("refund", "waiting", 1))),
    "a payment left open": ("effects_unsettled", changed("ledger", "p1", LedgerRow("payment", "interrupted", 1))),
    "a model call without a kill": ("model_calls_above_kills", lambda run: replace(run, host_kills=0)),
    "a model call past the ledger": ("model_calls_above_kills", changed("ledger", "m1", LedgerRow("model", "recorded", 1))),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str) -> None:
    name, plant = PLANTED[planted]
    report = check_fleet(plant(clean_run()))
    assert report.count(name), f"{planted} was not found: {report.text()}"


def test_each_kind_of_fault_is_planted_above() -> None:
    assert {name for name, _ in PLANTED.values()} == set(FAULTS)
