"""Compares what a fleet was given with what became of it; pure, so that its own tests can plant faults.

The journal says which requests were acknowledged, the streams what became of them, and the servers on the other side how often they were
asked: none of it is the word of a worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.chaos.checker import Report

ENDED = ("completed", "rejected", "failed")
WAITING = "awaiting_approval"
OUTWARD = ("payment", "refund")
FAULTS = (
    "lost",
    "stuck",
    "ended_twice",
    "failed_without_reason",
    "wrong_in_read_model",
    "stuck_tasks",
    "parked",
    "effects_twice",
    "effects_lost",
    "effects_unsettled",
    "model_calls_above_kills",
)


class RequestEnd(NamedTuple):
    """A request as its stream tells it."""

    status: str
    version: int
    ends: int
    """Events that end a request; one, where it has ended."""
    reason: str = ""


class TaskEnd(NamedTuple):
    """A task as its stream tells it."""

    request_id: str
    step: str
    attempts: int
    ends: int


class LedgerRow(NamedTuple):
    """An effect as the ledger holds it."""

    name: str
    status: str
    calls: int


@dataclass(slots=True)
class FleetRun:
    """Everything that a run left behind."""

    accepted: Sequence[str] = ()
    requests: Mapping[str, RequestEnd] = field(default_factory=dict)
    rows: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Status and version of each request in the read model."""
    tasks: Mapping[str, TaskEnd] = field(default_factory=dict)
    parked: Sequence[str] = ()
    ledger: Mapping[str, LedgerRow] = field(default_factory=dict)
    payments: Mapping[str, int] = field(default_factory=dict)
    """How often the payment server was asked, by key."""
    model_calls: Mapping[str, int] = field(default_factory=dict)
    refunds: Mapping[str, int] = field(default_factory=dict)
    """How often the payment service was told to pay back, by key."""
    approved_refunds: int = 0
    """Requests that completed with a refund that a person approved."""
    paid_steps: int = 0
    """Tasks that ended well and make a payment each."""
    host_kills: int = 0
    figures: Mapping[str, int] = field(default_factory=dict)


def check_fleet(run: FleetRun) -> Report:
    """Find every fault in what a run left behind."""
    report = Report(faults={name: [] for name in FAULTS})
    _check_requests(run, report)
    _check_tasks(run, report)
    _check_payments(run, report)
    _check_refunds(run, report)
    _check_model_calls(run, report)
    ends = Counter(found.status for found in run.requests.values())
    report.figures = {
        "requests": len(run.accepted),
        **{status.replace("_", " "): ends[status] for status in (*ENDED, WAITING)},
        "tasks": len(run.tasks),
        "tasks with another attempt": sum(task.attempts > 1 for task in run.tasks.values()),
        "payments": len(run.payments),
        "refunds paid": len(run.refunds),
        "model calls": sum(run.model_calls.values()),
        "model calls repeated": _repeated(run.model_calls),
        **run.figures,
    }
    return report


def _check_requests(run: FleetRun, report: Report) -> None:
    for request_id in run.accepted:
        found = run.requests.get(request_id)
        if found is None:
            report.add("lost", f"{request_id} was acknowledged and has no stream")
            continue
        if found.status not in ENDED and found.status != WAITING:
            report.add("stuck", f"{request_id} is {found.status} at version {found.version}")
        if found.ends > 1:
            report.add("ended_twice", f"{request_id} has {found.ends} ends")
        if found.status == "failed" and not found.reason.strip():
            report.add("failed_without_reason", request_id)
        if run.rows.get(request_id) != (found.status, found.version):
            report.add("wrong_in_read_model", f"{request_id}: {run.rows.get(request_id)}, its stream says {found[:2]}")
    for text in run.parked:
        report.add("parked", text)


def _check_tasks(run: FleetRun, report: Report) -> None:
    for task_id, task in run.tasks.items():
        if task.ends != 1:
            report.add("stuck_tasks" if not task.ends else "ended_twice", f"{task_id} ({task.step} of {task.request_id}): {task.ends} ends")


def _check_refunds(run: FleetRun, report: Report) -> None:
    """Each that was approved was paid, once."""
    for key, times in run.refunds.items():
        if times > 1:
            report.add("effects_twice", f"the refund {key} was paid {times} times")
    if len(run.refunds) < run.approved_refunds:
        report.add("effects_lost", f"{run.approved_refunds} refunds were approved and told to the customer, {len(run.refunds)} were paid")


def _check_payments(run: FleetRun, report: Report) -> None:
    """Each was made once, and is in the ledger as made."""
    for key, times in run.payments.items():
        if times > 1:
            report.add("effects_twice", f"the payment {key} was made {times} times")
        if key not in run.ledger:
            report.add("effects_lost", f"the payment {key} was made without an intent in the ledger")
    for effect_id, row in run.ledger.items():
        if row.name in OUTWARD and row.status != "recorded":
            report.add("effects_unsettled", f"the {row.name} {effect_id} is {row.status}")
        elif row.name == "payment" and effect_id not in run.payments:
            report.add("effects_lost", f"the payment {effect_id} is recorded and was never made")
    if len(run.payments) < run.paid_steps:
        report.add("effects_lost", f"{run.paid_steps} steps that pay ended well, {len(run.payments)} payments were made")


def _check_model_calls(run: FleetRun, report: Report) -> None:
    """Each is counted, and one is made again only for a host that was killed."""
    for key, times in run.model_calls.items():
        noted = run.ledger[key].calls if key in run.ledger else 0
        if times > noted:
            report.add("model_calls_above_kills", f"the model was asked {times} times for {key}, the ledger counts {noted}")
    if (repeated := _repeated(run.model_calls)) > run.host_kills:
        report.add("model_calls_above_kills", f"{repeated} model calls were repeated, hosts were killed {run.host_kills} times")


def _repeated(calls: Mapping[str, int]) -> int:
    return sum(times - 1 for times in calls.values())
