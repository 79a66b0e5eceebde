"""The ledger of effects in Postgres: the table `mesh.effects`, checked against the claims in `mesh.task_runs`; built by host and CLI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.effects.base import (
    Begun,
    ClaimLost,
    Effect,
    EffectFilter,
    EffectRecord,
    Move,
    Rule,
    RunClaim,
    Settlement,
    Status,
    Step,
)
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql

OWN_SQL = "infra.effects.sql"
LOST = "lost"
BEGIN = b"""
SELECT answer, recorded_outcome FROM mesh.begin_effect(
    %(effect_id)s::text, %(tenant_id)s::text, %(task_id)s::text, %(name)s::text, %(ordinal)s::int, %(hash)s::text, %(input)s::json,
    %(rule)s::text, %(host_id)s::text, %(attempt)s::int, %(turn)s::text
)
"""


class PostgresEffectLedger:
    """The ledger of every tenant; promises as in `infra.effects.base`. The pool must be a durable one: an intent that a crash of the server
    forgets would be made twice."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._move = read_sql(OWN_SQL, "move.sql")
        self._find = read_sql(OWN_SQL, "find.sql")
        self._settle = read_sql(OWN_SQL, "settle.sql")

    async def begin(self, effect: Effect, rule: Rule, claim: RunClaim, turn: str) -> Begun:
        """See the port."""
        parameters = {
            **_holder(effect, claim, turn),
            "tenant_id": effect.tenant_id,
            "name": effect.name,
            "ordinal": effect.ordinal,
            "hash": effect.input_hash,
            "input": None if rule is Rule.REPEAT else effect.input_text,
            "rule": str(rule),
        }
        row = await self._database.fetch_one(BEGIN, parameters)
        assert row is not None
        answer, outcome = row
        if answer == LOST:
            raise _lost(effect, claim)
        return Begun(Step(answer), outcome)

    async def move(self, effect: Effect, claim: RunClaim, turn: str, move: Move) -> None:
        """See the port."""
        parameters = {**_holder(effect, claim, turn), **move._asdict(), "status": str(move.status)}
        row = await self._database.fetch_one(self._move, parameters)
        if row is None or row[0] is not True:
            raise _lost(effect, claim)

    async def find(self, wanted: EffectFilter, limit: int) -> list[EffectRecord]:
        """See the port."""
        statuses = None if wanted.statuses is None else [str(status) for status in wanted.statuses]
        rows = await self._database.fetch(self._find, {**wanted._asdict(), "statuses": statuses, "limit": limit})
        return [_record(row) for row in rows]

    async def settle(self, effect_id: str, outcome: str | None, who: str, why: str) -> bool:
        """See the port."""
        parameters = {"effect_id": effect_id, "outcome": outcome, "who": who, "why": why}
        return await self._database.fetch_one(self._settle, parameters) is not None


def _holder(effect: Effect, claim: RunClaim, turn: str) -> dict[str, Any]:
    return {
        "effect_id": effect.effect_id,
        "task_id": claim.task_id,
        "attempt": claim.attempt,
        "host_id": claim.host_id,
        "turn": turn,
    }


def _lost(effect: Effect, claim: RunClaim) -> ClaimLost:
    return ClaimLost(
        f"Host {claim.host_id} does not hold attempt {claim.attempt} of {claim.task_id} any more: nothing is recorded of the effect "
        f"{effect.name} ({effect.effect_id}); who holds the task now settles it."
    )


def _record(row: Sequence[Any]) -> EffectRecord:
    effect_id, tenant_id, task_id, name, ordinal, input_hash, input_text, rule, state, *rest = row
    host_id, attempt, calls, outcome, source, error, settlements, created_at, changed_at = rest
    words = tuple(Settlement(word["who"], word["why"], word["at"], word["done"]) for word in settlements)
    return EffectRecord(
        effect_id, tenant_id, task_id, name, ordinal, input_hash, input_text, Rule(rule), Status(state), host_id, attempt, calls,
        outcome, source, error, words, created_at, changed_at,
    )  # fmt: skip
