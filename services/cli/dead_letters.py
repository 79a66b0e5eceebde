"""Parked records for a person: listed, shown, marked for redrive, given up; the work behind `dlq`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from contracts.topics import CONTEXTS
from infra.dead_letters.base import STATUSES, ParkedFilter, ParkedItem, ParkedRecords
from infra.dead_letters.postgres import PostgresDeadLetters, PostgresParkedEvents
from infra.dead_letters.readable import readable
from infra.dead_letters.redrive import Survey, bounded, requeue, survey
from infra.event_store.base import DeadLetter
from projections.catalogue import read_model
from services.cli import exit_codes
from services.cli.errors import NotFound, Refused, WrongUsage
from services.cli.interrupts import stop_on_interrupt
from services.cli.mesh import Mesh, chosen_contexts, open_mesh
from services.cli.output import Output, print_facts, print_json, print_table, tell
from services.cli.publishing import operating_user

COLUMNS = ("position", "status", "cause", "aggregate", "type", "error", "message", "attempts", "since")
SHOWN_MESSAGE = 80


def filter_of(
    *, aggregate: str | None = None, error_type: str | None = None, status: str | None = None, through: int | None = None
) -> ParkedFilter:
    """The filter of the options. Raises WrongUsage for a status that does not exist."""
    wanted = ParkedFilter(aggregate_id=aggregate, error_type=error_type, through=through)
    if status is None:
        return wanted
    if status != "all" and status not in STATUSES:
        raise WrongUsage(f"There is no status {status!r}. Choose of: {', '.join(STATUSES)}, all.")
    return replace(wanted, statuses=None if status == "all" else (status,))


def _kinds(mesh: Mesh, context: str | None, projection: str | None) -> dict[str, ParkedRecords]:
    """The parked records that are meant, by context. Raises WrongUsage."""
    if projection is None:
        return {name: PostgresDeadLetters(mesh.database, name) for name in chosen_contexts(context)}
    try:
        contexts = read_model(projection).contexts
    except KeyError as error:
        raise WrongUsage(f"{str(error.args[0]).capitalize()}.") from None
    chosen = [name for name in contexts if context in (None, name)]
    return {name: PostgresParkedEvents(mesh.database, projection, name) for name in chosen}


async def _one(kinds: Mapping[str, ParkedRecords]) -> tuple[str, ParkedRecords]:
    """The kind that is meant: the only one, or the only one that ever parked something. Positions mean something in one context only.
    Raises WrongUsage."""
    if len(kinds) > 1:
        ever = ParkedFilter(statuses=None)
        holding = {name: records for name, records in kinds.items() if await records.find(ever, 0, 1)}
        kinds = holding or dict(list(kinds.items())[:1])
    if len(kinds) != 1:
        raise WrongUsage(f"Positions are those of one context: give --context, one of {', '.join(kinds) or ', '.join(CONTEXTS)}.")
    return next(iter(kinds.items()))


# -- list and show -----------------------------------------------------------------------------------------------------------------------


async def list_(context: str | None, projection: str | None, wanted: ParkedFilter, limit: int, output: Output) -> None:
    """Parked records in position order."""
    async with open_mesh() as mesh:
        found = [item for records in _kinds(mesh, context, projection).values() for item in await records.find(wanted, 0, limit)]
    if output is Output.JSON:
        print_json([item._asdict() for item in found[:limit]])
        return
    print_table(COLUMNS, [_cells(item) for item in found[:limit]], empty="Nothing is parked that matches.")
    if len(found) >= limit:
        tell(f"the first {limit} are shown; --limit shows more")


def _cells(item: ParkedItem) -> list[object]:
    message = item.error_message if len(item.error_message) <= SHOWN_MESSAGE else f"{item.error_message[: SHOWN_MESSAGE - 1]}…"
    place = f"{item.context}:{item.position}"
    since = item.since[:19].replace("T", " ")
    return [place, item.status, item.cause, item.aggregate_id, item.type_name, item.error_type, message, item.attempts, since]


async def show(position: int, context: str | None, projection: str | None, output: Output) -> None:
    """One parked record with its error. Raises NotFound."""
    async with open_mesh() as mesh:
        name, records = await _one(_kinds(mesh, context, projection))
        facts: dict[str, Any] | None = None
        if isinstance(records, PostgresDeadLetters):
            letter = await records.letter(position)
            facts = None if letter is None else letter_facts(name, letter)
        elif isinstance(records, PostgresParkedEvents):
            detail = await records.event(position)
            if detail is not None:
                facts = {**detail.item._asdict(), "sequence": detail.sequence, "value": readable(detail.data), "stack": detail.stack}
    if facts is None:
        raise NotFound(f"No record is parked at position {position} of {name}. See: agentmesh dlq list --status all")
    if output is Output.JSON:
        print_json(facts)
        return
    stack = facts.pop("stack")
    print_facts({key: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value for key, value in facts.items()})
    if stack:
        print(f"\n{stack.rstrip()}")


def letter_facts(context: str, letter: DeadLetter) -> dict[str, Any]:
    """All that is known of a dead letter, readable."""
    record = letter.record
    return {
        "context": context,
        "position": letter.position,
        "status": letter.status,
        "cause": letter.cause,
        "aggregate_id": letter.aggregate_id,
        "command_id": letter.command_id,
        "type_name": letter.type_name,
        "error_type": letter.error_type,
        "error_message": letter.error_message,
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "marked_by": letter.marked_by,
        "marked_reason": letter.marked_reason,
        "consumer_group": letter.consumer_group,
        "handler_version": letter.handler_version,
        "record": f"{record.topic}/{record.partition}/{record.offset}",
        "record_timestamp": record.timestamp,
        "key": readable(record.key),
        "headers": {name: readable(value, text=True) for name, value in record.headers},
        "value": readable(record.value),
        "stack": letter.stack,
    }


# -- requeue -----------------------------------------------------------------------------------------------------------------------------


async def requeue_records(
    wanted: ParkedFilter,
    context: str | None,
    projection: str | None,
    *,
    dry_run: bool,
    rate: float | None,
    who: str | None,
    why: str,
    confirm: Callable[[str], bool],
    output: Output,
) -> int:
    """Mark what the filter means; answers the exit code. `confirm` gets the sentence of the survey. Raises NotFound, WrongUsage."""
    async with open_mesh() as mesh:
        name, records = await _one(_kinds(mesh, context, projection))
        limits = await bounded(records, wanted)
        found = await survey(records, limits)
        facts = {"context": name, "through": found.through, "records": found.records, "error_types": dict(found.error_types)}
        facts |= {"aggregates": len(found.aggregates), "marked": 0, "complete": found.records == 0, "dry_run": dry_run}
        if not found.records:
            await _explain_nothing(records, wanted)
        if dry_run or not found.records or not confirm(_sentence(found)):
            _print_requeued(facts, output)
            return exit_codes.OK if dry_run or not found.records else exit_codes.FAILED
        with stop_on_interrupt() as stop:
            marked = await requeue(
                records, limits, who=who or operating_user(), why=why, stop=stop, rate=rate, progress=_progress(found.records)
            )
        facts |= {"marked": marked.records, "complete": marked.complete}
        await _warn_of_heads(records, wanted)
    _print_requeued(facts, output)
    return exit_codes.OK if marked.complete else exit_codes.INTERRUPTED


def _sentence(found: Survey) -> str:
    causes = ", ".join(f"{count} × {name}" for name, count in found.error_types.most_common(5))
    return f"{found.records} records of {len(found.aggregates)} aggregates up to position {found.through}: {causes}"


def _progress(total: int) -> Callable[[int], None]:
    def show_progress(marked: int) -> None:
        if total > 500 or marked == total:
            tell(f"marked {marked} of {total}")

    return show_progress


async def _explain_nothing(records: ParkedRecords, wanted: ParkedFilter) -> None:
    if wanted.position is None:
        return
    found = await records.find(ParkedFilter(position=wanted.position, statuses=None), 0, 1)
    if not found:
        raise NotFound(f"No record is parked at position {wanted.position}. See: agentmesh dlq list")
    raise Refused(f"The record at position {wanted.position} is {found[0].status}, so there is nothing to mark.")


async def _warn_of_heads(records: ParkedRecords, wanted: ParkedFilter) -> None:
    """One record alone is only taken up when nothing of its aggregate is parked before it."""
    if wanted.position is None:
        return
    item = (await records.find(ParkedFilter(position=wanted.position, statuses=None), 0, 1))[0]
    if item.aggregate_id is None:
        return
    earlier = await records.find(ParkedFilter(aggregate_id=item.aggregate_id, through=item.position - 1, statuses=("parked",)), 0, 1)
    if earlier:
        tell(f"it waits for the one at position {earlier[0].position}: agentmesh dlq requeue --aggregate {item.aggregate_id}")


def _print_requeued(facts: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        print_json(facts)
    elif facts["dry_run"] or not facts["records"]:
        causes = ", ".join(f"{count} × {name}" for name, count in facts["error_types"].items()) or "nothing"
        print(
            f"{facts['records']} records of {facts['aggregates']} aggregates would be marked, up to position {facts['through']}: {causes}"
        )
    else:
        print(f"{facts['marked']} of {facts['records']} records are marked; their workers take them up, in order")


# -- discard -----------------------------------------------------------------------------------------------------------------------------


async def discard(positions: Sequence[int], context: str | None, who: str | None, why: str, output: Output) -> int:
    """Give records up, one transaction each. Raises NotFound; answers 1 when some were not waiting any more."""
    if not why.strip():
        raise WrongUsage("--why is empty: say why the record is given up; it stands in its rejection.")
    by = who or operating_user()
    done: dict[int, bool] = {}
    async with open_mesh() as mesh:
        name, _ = await _one(_kinds(mesh, context, None))
        letters = PostgresDeadLetters(mesh.database, name)
        missing = [str(position) for position in positions if await letters.letter(position) is None]
        if missing:
            raise NotFound(f"No record is parked at position {', '.join(missing)} of {name}; nothing was discarded.")
        for position in positions:
            done[position] = await letters.discard(position, by, why)
    if output is Output.JSON:
        print_json([{"context": name, "position": position, "discarded": discarded} for position, discarded in done.items()])
    else:
        for position, discarded in done.items():
            print(f"{name}:{position} {'discarded' if discarded else 'was not waiting any more: nothing was done'}")
    return exit_codes.OK if all(done.values()) else exit_codes.FAILED


def confirmation(asked: bool) -> Callable[[str], bool]:
    """Asks on a terminal, unless the question is not to be asked."""

    def confirm(sentence: str) -> bool:
        tell(sentence)
        if not asked:
            return True
        import typer

        return typer.confirm("Mark them for redrive?", err=True)

    return confirm
