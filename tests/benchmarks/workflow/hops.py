"""Where the time of one workflow goes: the recorded times of its events in, the milliseconds between them by kind of hop out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple

import psycopg

# From which event to which: who works in between. A task's events come for each of the three steps.
HOPS: Mapping[tuple[str, str], str] = {
    ("RequestCreated", "TaskQueued"): "event → task queued: relay, process manager, tasks",
    ("ResearchStarted", "TaskQueued"): "event → task queued: relay, process manager, tasks",
    ("TaskCompleted", "TaskQueued"): "event → task queued: relay, process manager, tasks",
    ("TaskQueued", "TaskAssigned"): "task queued → assigned: dispatcher, tasks",
    ("TaskAssigned", "TaskStarted"): "task assigned → started: relay, agent host, tasks",
    ("TaskStarted", "TaskCompleted"): "task started → completed: agent, its result, tasks",
}
BACK = "event → request's next event: relay, process manager, requests"
EVENTS = """
SELECT coalesce(t.request_id, e.originator_id), e.originator_version, e.topic, e.state
FROM (
    SELECT originator_id, originator_version, topic, state FROM requests.stored_events WHERE originator_id = ANY (%(ids)s)
    UNION ALL
    SELECT originator_id, originator_version, topic, state FROM tasks.stored_events
) e
LEFT JOIN (
    SELECT originator_id AS task_id, convert_from(state, 'UTF8')::json -> 'data' ->> 'subject_id' AS request_id
    FROM tasks.stored_events WHERE originator_version = 1
) t ON t.task_id = e.originator_id
WHERE coalesce(t.request_id, e.originator_id) = ANY (%(ids)s)
"""


class Hop(NamedTuple):
    """One kind of hop: how often a workflow makes it, and its share of the whole."""

    name: str
    times: float
    each_ms: float
    total_ms: float


def hops(connection: psycopg.Connection[Any], request_ids: Sequence[str]) -> list[Hop]:
    """The hops of these requests, medians over them."""
    events: dict[str, list[tuple[datetime, int, str]]] = defaultdict(list)
    for request_id, version, type_name, state in connection.execute(EVENTS, {"ids": list(request_ids)}).fetchall():
        events[request_id].append((datetime.fromisoformat(json.loads(bytes(state))["time"]), version, type_name.split(".")[2]))
    sums: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, list[int]] = defaultdict(list)
    for found in events.values():
        for name, milliseconds in _of_one(sorted(found)).items():
            sums[name].append(sum(milliseconds))
            counts[name].append(len(milliseconds))
    return [Hop(name, median(counts[name]), median(sums[name]) / median(counts[name]), median(sums[name])) for name in sums]


def _of_one(events: Iterable[tuple[datetime, int, str]]) -> dict[str, list[float]]:
    """The milliseconds between the events of one request, by kind of hop; a hop of a kind that is not known goes under the way back."""
    found: dict[str, list[float]] = defaultdict(list)
    before: tuple[datetime, str] | None = None
    for at, _, name in events:
        if before is not None:
            found[HOPS.get((before[1], name), BACK)].append((at - before[0]).total_seconds() * 1e3)
        before = at, name
    return found
