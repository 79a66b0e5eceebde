"""Applies events to a read model in memory: what is old, what waits behind a parked event, what fails; pure but for the
functions of the model."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contracts.envelope import RecordedEvent
from infra.read_models.checkpoints import Follower, ParkedEvent

ATTEMPTS = 3


@dataclass(slots=True)
class Applied:
    """What a batch of events comes to: the row changes in order, and the events to park."""

    changes: list[Any] = field(default_factory=list)
    parked: list[ParkedEvent] = field(default_factory=list)
    events: int = 0


def behind(recorded: RecordedEvent) -> ParkedEvent:
    """An event of an aggregate that has a parked one."""
    return ParkedEvent(recorded, "behind", "WaitsBehind", "waits behind an earlier parked event of its aggregate", "", 0)


def defect(recorded: RecordedEvent, error: Exception) -> ParkedEvent:
    """An event that the model could not apply."""
    return ParkedEvent(recorded, "defect", type(error).__name__, str(error), "".join(traceback.format_exception(error)), ATTEMPTS)


def apply_events(model: Follower, events: Iterable[RecordedEvent], parked_aggregates: set[str]) -> Applied:
    """The row changes of new events. `parked_aggregates` grows by those that fail here."""
    applied = Applied()
    for recorded in events:
        applied.events += 1
        if parked_aggregates and recorded.aggregate_id in parked_aggregates:
            applied.parked.append(behind(recorded))
            continue
        error = _attempts(model, recorded, applied.changes)
        if error is not None:
            parked_aggregates.add(recorded.aggregate_id)
            applied.parked.append(defect(recorded, error))
    return applied


def _attempts(model: Follower, recorded: RecordedEvent, changes: list[Any]) -> Exception | None:
    last: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            changes.extend(model.changes(recorded))
            return None
        except Exception as error:
            last = error
    return last
