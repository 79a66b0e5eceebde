"""The ledger of effects in memory, with the claims of runs that it checks against; for tests of agents, nothing survives the process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from infra.effects.base import (
    FROM_PERSON,
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

UNDER_WAY = (Status.INTENDED, Status.PROBING)
STEPS = {Status.INTENDED: Step.CALL, Status.PROBING: Step.PROBE, Status.WAITING: Step.WAITING}


class InMemoryRuns:
    """Stands for `mesh.task_runs`: who holds which attempt, and until when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[tuple[str, int], tuple[str, float]] = {}

    def claim(self, task_id: str, attempt: int, host_id: str, lease_seconds: float = 30) -> None:
        """Give the run to a host, whoever held it."""
        self._held[task_id, attempt] = host_id, self._clock() + lease_seconds

    def end(self, task_id: str, attempt: int) -> None:
        """The run's claim ends: its lease ran out, or it was finished."""
        host_id, _ = self._held[task_id, attempt]
        self._held[task_id, attempt] = host_id, self._clock()

    def is_held(self, task_id: str, attempt: int, host_id: str) -> bool:
        """Whether this claim is live."""
        holder, until = self._held.get((task_id, attempt), ("", 0.0))
        return holder == host_id and until > self._clock()

    def has_later(self, task_id: str, attempt: int) -> bool:
        """Whether the task has a later attempt."""
        return any(task == task_id and number > attempt for task, number in self._held)


@dataclass(frozen=True, slots=True)
class _Row:
    record: EffectRecord
    turn: str


class InMemoryEffectLedger:
    """A ledger for one process; promises as in `infra.effects.base`, except that nothing is durable.

    Without `runs` every claim counts as live and an effect under way as interrupted, as for an agent tested alone: a second
    `HostEffects.of_run` plays the next attempt.
    """

    def __init__(self, runs: InMemoryRuns | None = None) -> None:
        self._runs = runs
        self._rows: dict[str, _Row] = {}

    async def begin(self, effect: Effect, rule: Rule, claim: RunClaim, turn: str) -> Begun:
        """See the port."""
        if not self._may_begin(claim):
            raise _lost(effect, claim)
        row = self._rows.get(effect.effect_id)
        if row is None:
            self._rows[effect.effect_id] = _Row(_intent(effect, rule, claim), turn)
            return Begun(Step.CALL)
        record = row.record
        if record.status is Status.RECORDED:
            return Begun(Step.RECORDED, record.outcome)
        if row.turn == turn and record.status in STEPS:
            return Begun(STEPS[record.status])
        if record.status in UNDER_WAY and self._is_elsewhere(record, claim):
            return Begun(Step.BUSY)
        return self._take(record, effect, rule, claim, turn)

    def _take(self, record: EffectRecord, effect: Effect, rule: Rule, claim: RunClaim, turn: str) -> Begun:
        if record.status is Status.FAILED:
            status, step = Status.INTENDED, Step.CALL
        else:
            status, step = {
                Rule.REPEAT: (Status.INTENDED, Step.REPEAT),
                Rule.PROBE: (Status.PROBING, Step.PROBE),
                Rule.PERSON: (Status.WAITING, Step.WAITING),
            }[rule]
        taken = replace(
            record,
            status=status,
            rule=rule,
            input_text=record.input_text or _kept(effect, rule),
            host_id=claim.host_id,
            attempt=claim.attempt,
            calls=record.calls + (status is Status.INTENDED),
            changed_at=_now(),
        )
        self._rows[effect.effect_id] = _Row(taken, turn)
        return Begun(step)

    async def move(self, effect: Effect, claim: RunClaim, turn: str, move: Move) -> None:
        """See the port."""
        row = self._rows.get(effect.effect_id)
        if row is None or row.turn != turn:
            raise _lost(effect, claim)
        record = row.record
        if record.status is move.status:
            return
        if record.status not in UNDER_WAY or not self._is_held(claim.task_id, claim.attempt, claim.host_id):
            raise _lost(effect, claim)
        moved = replace(
            record,
            status=move.status,
            outcome=move.outcome,
            outcome_from=move.outcome_from,
            error=move.error or record.error,
            calls=record.calls + (move.status is Status.INTENDED),
            changed_at=_now(),
        )
        self._rows[effect.effect_id] = _Row(moved, turn)

    async def find(self, wanted: EffectFilter, limit: int) -> list[EffectRecord]:
        """See the port."""
        records = sorted((self._seen(row.record) for row in self._rows.values()), key=lambda record: record.changed_at, reverse=True)
        return [record for record in records if _matches(record, wanted)][:limit]

    async def settle(self, effect_id: str, outcome: str | None, who: str, why: str) -> bool:
        """See the port."""
        row = self._rows.get(effect_id)
        if row is None or self._seen(row.record).status not in (Status.INTERRUPTED, Status.WAITING):
            return False
        settled = replace(
            row.record,
            status=Status.FAILED if outcome is None else Status.RECORDED,
            outcome=outcome,
            outcome_from=None if outcome is None else FROM_PERSON,
            settlements=(*row.record.settlements, Settlement(who, why, _now().isoformat(), outcome is not None)),
            changed_at=_now(),
        )
        self._rows[effect_id] = _Row(settled, "")
        return True

    def _may_begin(self, claim: RunClaim) -> bool:
        if self._runs is None:
            return True
        return self._is_held(claim.task_id, claim.attempt, claim.host_id) and not self._runs.has_later(claim.task_id, claim.attempt)

    def _is_held(self, task_id: str, attempt: int, host_id: str) -> bool:
        return self._runs is None or self._runs.is_held(task_id, attempt, host_id)

    def _is_elsewhere(self, record: EffectRecord, claim: RunClaim) -> bool:
        if self._runs is None or (record.host_id, record.attempt) == (claim.host_id, claim.attempt):
            return False
        return self._runs.is_held(record.task_id, record.attempt, record.host_id)

    def _seen(self, record: EffectRecord) -> EffectRecord:
        held = self._runs is not None and self._runs.is_held(record.task_id, record.attempt, record.host_id)
        return record if held or record.status not in UNDER_WAY else replace(record, status=Status.INTERRUPTED)


def _intent(effect: Effect, rule: Rule, claim: RunClaim) -> EffectRecord:
    now = _now()
    return EffectRecord(
        effect.effect_id, effect.tenant_id, effect.task_id, effect.name, effect.ordinal, effect.input_hash, _kept(effect, rule), rule,
        Status.INTENDED, claim.host_id, claim.attempt, 1, None, None, None, (), now, now,
    )  # fmt: skip


def _kept(effect: Effect, rule: Rule) -> str | None:
    return None if rule is Rule.REPEAT else effect.input_text


def _matches(record: EffectRecord, wanted: EffectFilter) -> bool:
    return (
        (wanted.statuses is None or record.status in wanted.statuses)
        and wanted.effect_id in (None, record.effect_id)
        and wanted.task_id in (None, record.task_id)
        and wanted.tenant_id in (None, record.tenant_id)
    )


def _lost(effect: Effect, claim: RunClaim) -> ClaimLost:
    return ClaimLost(f"Host {claim.host_id} does not hold attempt {claim.attempt} of {claim.task_id}; {effect.name} is not recorded.")


def _now() -> datetime:
    return datetime.now(UTC)
