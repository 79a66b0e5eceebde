"""Effects of agents for a person: listed, shown, settled when they were interrupted; the work behind `effects`."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from infra.effects.base import UNSETTLED, EffectFilter, EffectLedger, EffectRecord, Status
from infra.effects.once import storable
from infra.effects.postgres import PostgresEffectLedger
from services.cli.errors import NotFound, Refused, WrongUsage
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json, print_table, tell
from services.cli.payload import read_payload
from services.cli.publishing import operating_user

COLUMNS = ("effect", "status", "name", "no", "task", "tenant", "rule", "attempt", "calls", "changed")


def filter_of(status: str | None, task: str | None, tenant: str | None) -> EffectFilter:
    """The filter of the options. Raises WrongUsage for a status that does not exist."""
    if status is None:
        statuses: tuple[Status, ...] | None = UNSETTLED
    elif status == "all":
        statuses = None
    elif status in list(Status):
        statuses = (Status(status),)
    else:
        raise WrongUsage(f"There is no status {status!r}. Choose of: {', '.join(Status)}, all.")
    return EffectFilter(statuses, None, _text(task), _text(tenant))


def _text(argument: str | None) -> str | None:
    return None if argument is None else storable(argument)


def outcome_of(argument: str) -> str:
    """The outcome of the command line as JSON text. Raises WrongUsage."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.dumps(json.loads(read_payload(argument), parse_constant=refuse))
    except (ValueError, RecursionError) as error:
        raise WrongUsage(
            f"The outcome is no JSON: {error}. A text is written --outcome '\"sent\"', nothing at all --outcome null."
        ) from None


async def list_(wanted: EffectFilter, limit: int, output: Output) -> None:
    """Effects, the newest change first."""
    async with open_mesh() as mesh:
        found = await PostgresEffectLedger(mesh.database).find(wanted, limit)
    if output is Output.JSON:
        print_json([facts_of(record) for record in found])
        return
    print_table(COLUMNS, [_cells(record) for record in found], empty="No effect matches.")
    if len(found) >= limit:
        tell(f"the first {limit} are shown; --limit shows more")


def _cells(record: EffectRecord) -> list[object]:
    changed = record.changed_at.isoformat(sep=" ", timespec="seconds")[:19]
    return [
        record.effect_id, record.status, record.name, record.ordinal, record.task_id, record.tenant_id, record.rule,
        record.attempt, record.calls, changed,
    ]  # fmt: skip


def facts_of(record: EffectRecord) -> dict[str, Any]:
    """All that is known of an effect, readable."""
    return {
        "effect_id": record.effect_id,
        "status": record.status,
        "tenant_id": record.tenant_id,
        "task_id": record.task_id,
        "name": record.name,
        "ordinal": record.ordinal,
        "rule": record.rule,
        "attempt": record.attempt,
        "host_id": record.host_id,
        "calls": record.calls,
        "input": None if record.input_text is None else json.loads(record.input_text),
        "input_hash": record.input_hash,
        "outcome": None if record.outcome is None else json.loads(record.outcome),
        "outcome_from": record.outcome_from,
        "error": record.error,
        "settlements": [word._asdict() for word in record.settlements],
        "created_at": record.created_at,
        "changed_at": record.changed_at,
    }


async def show(effect_id: str, output: Output) -> None:
    """One effect. Raises NotFound."""
    async with open_mesh() as mesh:
        facts = facts_of(await _one(PostgresEffectLedger(mesh.database), effect_id))
    if output is Output.JSON:
        print_json(facts)
        return
    facts["settlements"] = facts["settlements"] or None
    facts["outcome"] = None if facts["outcome_from"] is None else json.dumps(facts["outcome"], ensure_ascii=False)
    print_facts({key: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value for key, value in facts.items()})


async def settle(effect_id: str, outcome: str | None, reason: str, who: str | None, output: Output) -> None:
    """Record a person's word. Raises NotFound, and Refused when there is nothing for a person to settle."""
    if not reason.strip():
        raise WrongUsage("--reason is empty: say how you know what became of the effect; it is kept with it.")
    by = storable(who or operating_user())
    async with open_mesh() as mesh:
        ledger = PostgresEffectLedger(mesh.database)
        await _one(ledger, effect_id)
        settled = await ledger.settle(effect_id, outcome, by, storable(reason))
        record = await _one(ledger, effect_id)
    if not settled:
        raise Refused(f"Nothing was changed: {_why_not(record)}.")
    if output is Output.JSON:
        print_json(facts_of(record))
    elif outcome is None:
        print(f"{effect_id} is settled as not done: the next attempt at {record.task_id} makes it, once the scheduler has queued it")
    else:
        print(f"{effect_id} is settled: every later attempt at {record.task_id} gets this outcome")


def _why_not(record: EffectRecord) -> str:
    by = f" by {record.settlements[-1].who}" if record.settlements else ""
    match record.status:
        case Status.RECORDED:
            return f"the effect is recorded already, from {record.outcome_from}{by if record.outcome_from == 'person' else ''}"
        case Status.FAILED:
            return f"it is known that nothing happened{f', settled{by}' if by else ''}; the next attempt makes the effect"
        case _:
            return f"host {record.host_id} is at it in attempt {record.attempt}; when its lease has run out, the effect can be settled"


async def _one(ledger: EffectLedger, effect_id: str) -> EffectRecord:
    wanted = storable(effect_id)
    found = await ledger.find(EffectFilter(None, wanted), 1)
    if not found:
        raise NotFound(f"There is no effect {wanted}. See: agentmesh effects list --status all")
    return found[0]
