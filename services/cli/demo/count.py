"""Counts what a demo left in the store and in the read model, and checks that the sums match what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contracts.envelope import decode_stored
from infra.event_store.base import EventStore, OutcomeKind
from infra.postgres.sql_files import read_sql
from services.cli.demo.plan import Plan
from services.cli.demo.watch import CONTEXT, Watch
from services.cli.event_log import short_type
from services.cli.mesh import Mesh
from services.cli.worker_metrics import sum_of

PAGE = 2_000
DUPLICATES = "agentmesh_duplicates_absorbed_total"


@dataclass(slots=True)
class Recorded:
    """What stands in the log of the store because of the demo's commands."""

    events: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    """Events by the command that caused them."""
    rejections: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    versions: dict[str, int] = field(default_factory=dict)


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
    rejections_recorded: int
    dead_letters: int
    read_model_rows: int
    rows_by_status: Counter[str]
    problems: list[str] = field(default_factory=list)


async def read_log(store: EventStore, after: int, through: int, command_ids: set[str]) -> Recorded:
    """What the log holds between two positions because of these commands."""
    found = Recorded()
    while after < through:
        page = await store.read_log(after, PAGE)
        if not page:
            break
        for entry in page:
            if entry.dead_letter is not None:
                found.dead_letters += entry.dead_letter.command_id in command_ids
                continue
            metadata, _ = decode_stored(entry.type_name, entry.aggregate_id, entry.state)
            if entry.kind == "event" and metadata.causation_id in command_ids:
                found.events[short_type(entry.type_name)] += 1
                found.causes[metadata.causation_id] += 1
                found.versions[entry.aggregate_id] = entry.version
            elif entry.kind == "rejection" and metadata.causation_id in command_ids:
                found.rejections[metadata.causation_id] += 1
        after = page[-1].position
    return found


async def count(mesh: Mesh, watch: Watch, head_before: int, absorbed_before: int | None) -> Totals:
    """Count everything, then compare."""
    plan = watch.plan
    store = mesh.stores[CONTEXT]
    recorded = await read_log(store, head_before, await store.head(), {command_id for _, command_id in plan.commands()})
    rows = await mesh.database.fetch(read_sql("services.cli.sql", "demo_rows.sql"), {"ids": list(recorded.versions)})
    absorbed = duplicates_absorbed(mesh.settings.state_dir)
    totals = Totals(
        published=watch.published,
        commands=len(plan.commands()),
        duplicates_sent=plan.duplicates(),
        duplicates_absorbed=None if absorbed is None or absorbed_before is None else absorbed - absorbed_before,
        outcomes=Counter(outcome.kind.value for outcome in watch.outcomes.values()),
        rejected_by_code=Counter(str(each.code) for each in watch.outcomes.values() if each.kind is OutcomeKind.REJECTED),
        events=recorded.events,
        rejections_recorded=recorded.rejections.total(),
        dead_letters=recorded.dead_letters,
        read_model_rows=len(rows),
        rows_by_status=Counter(status for _, _, status in rows),
    )
    totals.problems = problems(plan, watch, recorded, totals, {request_id: version for request_id, version, _ in rows})
    return totals


def problems(plan: Plan, watch: Watch, recorded: Recorded, totals: Totals, rows: dict[str, int]) -> list[str]:
    """Each sum that does not match, as a sentence."""
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
        (rows == recorded.versions, "the read model does not show the version that the store holds of each request"),
        (not other, f"{len(other)} commands came out otherwise than planned, first: {'; '.join(other[:3])}"),
    )
    return [sentence for holds, sentence in checks if not holds]


def duplicates_absorbed(state_dir: Path) -> int | None:
    """The command workers' own count since they started; None when one of them could not be asked."""
    found = sum_of(state_dir, CONTEXT, DUPLICATES)
    return None if found is None else int(found)
