"""Counts what a demo left in the stores and in the read model, and checks that the sums match what was sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contracts.envelope import decode_stored
from infra.event_store.base import EventStore, OutcomeKind
from infra.postgres.sql_files import read_sql
from services.cli.demo.carried import ENDED, WAITING, Carried
from services.cli.demo.plan import Plan
from services.cli.demo.watch import CONTEXT, TASKS, Watch
from services.cli.event_log import short_type
from services.cli.mesh import Mesh
from services.cli.worker_metrics import sum_of

PAGE = 2_000
DUPLICATES = "agentmesh_duplicates_absorbed_total"
STEPS = 3
CATCH_UP_SECONDS = 20.0


@dataclass(slots=True)
class Recorded:
    """What stands in the log of requests because of the demo."""

    events: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    """Events by the command of the demo that caused them."""
    rejections: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    versions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tasks:
    """What stands in the log of tasks because of the demo's requests."""

    events: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    """How often each task ended."""
    succeeded: Counter[str] = field(default_factory=Counter)
    """Tasks that ended well, by request."""

    def open(self) -> list[str]:
        """The tasks without exactly one end."""
        return [task_id for task_id, ends in self.ends.items() if ends != 1]


@dataclass(slots=True)
class Totals:
    """The numbers of a demo, each from where the thing itself is kept."""

    published: int
    commands: int
    duplicates_sent: int
    duplicates_absorbed: int | None
    outcomes: Counter[str]
    rejected_by_code: Counter[str]
    events: Counter[str]
    tasks: Counter[str]
    rejections_recorded: int
    dead_letters: int
    read_model_rows: int
    rows_by_status: Counter[str]
    host_killed: str | None
    approval_granted: bool
    problems: list[str] = field(default_factory=list)


async def read_log(store: EventStore, after: int, command_ids: Collection[str], request_ids: Collection[str]) -> Recorded:
    """What the log holds behind a position of these requests, and because of these commands."""
    found = Recorded()
    while page := await store.read_log(after, PAGE):
        for entry in page:
            if entry.dead_letter is not None:
                found.dead_letters += entry.dead_letter.command_id in command_ids
                continue
            metadata, _ = decode_stored(entry.type_name, entry.aggregate_id, entry.state)
            if entry.kind == "event" and entry.aggregate_id in request_ids:
                found.events[short_type(entry.type_name)] += 1
                found.versions[entry.aggregate_id] = entry.version
                if metadata.causation_id in command_ids:
                    found.causes[metadata.causation_id] += 1
            elif entry.kind == "rejection" and metadata.causation_id in command_ids:
                found.rejections[metadata.causation_id] += 1
        after = page[-1].position
    return found


async def read_tasks(store: EventStore, after: int, request_ids: Collection[str]) -> Tasks:
    """The tasks of these requests, from the log behind a position."""
    found = Tasks()
    while page := await store.read_log(after, PAGE):
        for entry in page:
            if entry.kind != "event":
                continue
            _, data = decode_stored(entry.type_name, entry.aggregate_id, entry.state)
            said = json.loads(data)
            if said["subject_id"] not in request_ids:
                continue
            name = short_type(entry.type_name)
            found.events[name] += 1
            found.ends[entry.aggregate_id] += name == "TaskCompleted"
            found.succeeded[said["subject_id"]] += str(said.get("outcome", "")).lower() == "success"
        after = page[-1].position
    return found


async def count(mesh: Mesh, watch: Watch, carried: Carried, heads: Mapping[str, int], absorbed_before: int | None) -> Totals:
    """Count everything, then compare."""
    plan = watch.plan
    requests = set(plan.requests)
    recorded = await read_log(mesh.stores[CONTEXT], heads[CONTEXT], {command_id for _, command_id in plan.commands()}, requests)
    tasks = await _ended_tasks(mesh.stores[TASKS], heads[TASKS], requests)
    rows = await _rows(mesh, recorded)
    absorbed = duplicates_absorbed(mesh.settings.state_dir)
    totals = Totals(
        published=watch.published,
        commands=len(plan.commands()),
        duplicates_sent=plan.duplicates(),
        duplicates_absorbed=None if absorbed is None or absorbed_before is None else absorbed - absorbed_before,
        outcomes=Counter(outcome.kind.value for outcome in watch.outcomes.values()),
        rejected_by_code=Counter(str(each.code) for each in watch.outcomes.values() if each.kind is OutcomeKind.REJECTED),
        events=recorded.events,
        tasks=tasks.events,
        rejections_recorded=recorded.rejections.total(),
        dead_letters=recorded.dead_letters,
        read_model_rows=len(rows),
        rows_by_status=Counter(status for _, status in rows.values()),
        host_killed=carried.killed,
        approval_granted=carried.approved,
    )
    totals.problems = [*problems(plan, watch, recorded, totals), *workflow_problems(plan, recorded, tasks, rows, totals)]
    return totals


async def _ended_tasks(store: EventStore, after: int, request_ids: Collection[str]) -> Tasks:
    """The tasks, once each has its end: what a request does not wait for any more is called off a moment later."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        found = await read_tasks(store, after, request_ids)
        if not found.open() or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)


async def _rows(mesh: Mesh, recorded: Recorded) -> dict[str, tuple[int, str]]:
    """Version and status of each request in the read model, once it has caught up with the log."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        found = await mesh.database.fetch(read_sql("services.cli.sql", "demo_rows.sql"), {"ids": list(recorded.versions)})
        rows = {request_id: (version, status) for request_id, version, status in found}
        if {request_id: version for request_id, (version, _) in rows.items()} == recorded.versions or time.monotonic() > deadline:
            return rows
        await asyncio.sleep(0.05)


def problems(plan: Plan, watch: Watch, recorded: Recorded, totals: Totals) -> list[str]:
    """Each sum of the demo's own commands that does not match, as a sentence."""
    outcomes = watch.outcomes
    with_events = {command_id for (_, command_id), outcome in outcomes.items() if outcome.kind is OutcomeKind.EVENTS}
    rejected = {command_id for (_, command_id), outcome in outcomes.items() if outcome.kind is OutcomeKind.REJECTED}
    other = [
        f"{planned.command.type_name} {command_id}: {outcomes[aggregate_id, command_id].kind}, not {planned.expected}"
        for (aggregate_id, command_id), planned in plan.commands().items()
        if (aggregate_id, command_id) in outcomes and outcomes[aggregate_id, command_id].kind is not planned.expected
    ]
    checks: Sequence[tuple[bool, str]] = (
        (
            totals.published == len(outcomes) + totals.duplicates_sent,
            f"{totals.published} records published, but {len(outcomes)} outcomes and {totals.duplicates_sent} duplicates",
        ),
        (set(recorded.causes) == with_events, "the commands with the outcome `events` are not those that have events in the store"),
        (set(recorded.causes.values()) <= {1}, "a command was applied more than once"),
        (set(recorded.rejections) == rejected, "the commands with the outcome `rejected` are not those that have a rejection"),
        (set(recorded.rejections.values()) <= {1}, "a command was rejected more than once"),
        (totals.dead_letters == 0, f"{totals.dead_letters} commands were parked"),
        (not other, f"{len(other)} commands came out otherwise than planned, first: {'; '.join(other[:3])}"),
    )
    return [sentence for holds, sentence in checks if not holds]


def workflow_problems(plan: Plan, recorded: Recorded, tasks: Tasks, rows: Mapping[str, tuple[int, str]], totals: Totals) -> list[str]:
    """Each sum of what the fleet made of the requests that does not match, as a sentence."""
    standing = [each for each in plan.requests if rows.get(each, (0, ""))[1] not in (*ENDED, WAITING)]
    unworked = [each for each, (_, status) in rows.items() if status == "completed" and tasks.succeeded[each] != STEPS]
    shown = rows.get(plan.shown_request, (0, ""))[1]
    checks: Sequence[tuple[bool, str]] = (
        (set(recorded.versions) == set(plan.requests), "the requests in the store are not those that were published"),
        (
            {each: version for each, (version, _) in rows.items()} == recorded.versions,
            "the read model does not show the version that the store holds of each request",
        ),
        (not standing, f"{len(standing)} requests have neither ended nor wait for a person"),
        (not tasks.open(), f"{len(tasks.open())} tasks have no end, or more than one"),
        (not unworked, f"{len(unworked)} requests completed without {STEPS} tasks that ended well"),
        (totals.approval_granted and shown == "completed", f"the refund whose approval was granted is {shown or 'not shown'}"),
    )
    return [sentence for holds, sentence in checks if not holds]


def duplicates_absorbed(state_dir: Path) -> int | None:
    """The command workers' own count since they started; None when one of them could not be asked."""
    found = sum_of(state_dir, CONTEXT, DUPLICATES)
    return None if found is None else int(found)
