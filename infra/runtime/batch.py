"""Brings one batch of commands to its outcomes: load, decide, append in one transaction, and again for what was left out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from infra.errors import DataError
from infra.event_store.base import AggregateAppend, AppendMode, EventStore, LoadedStream, Refusal, StreamQuery
from infra.resilience.retry import TransientRetry, delay_ms
from infra.runtime.base import Measured
from infra.runtime.counts import CommandCounts
from infra.runtime.decide import BatchContext, CachedState, Decision, References, decide_aggregate, rebuild, unreadable_letter
from infra.runtime.decode import Incoming, Unreadable
from infra.runtime.references import ReferenceReader
from infra.runtime.state_cache import StateCache
from infra.runtime.told import tell_outcomes
from infra.telemetry.bounded import exemplar
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# After this many rounds without success an aggregate's conflicts are treated like a transient failure: wait, then decide again.
ROUNDS_WITHOUT_WAIT = 3
# However few attempts are allowed: a crash says of a whole batch that it was in work, so each of its records gets one more try, alone.
TRIES_AFTER_CRASH = 2
# After a refused append, repeats or another writer are about: so many batches are loaded before they are decided.
CAUTIOUS_BATCHES = 16


class Basis(NamedTuple):
    """What an aggregate is decided on: the state that was cached when its stream was asked for, what the store answered to that, and what
    is known of other contexts.

    Taken together: the cache may move while the store answers, because a redrive uses it at the same time.
    """

    cached: CachedState
    loaded: LoadedStream
    references: References | None = None


@dataclass(slots=True)
class Group:
    """The commands of one aggregate that are on their way, in order."""

    aggregate_id: str
    items: list[Incoming] = field(default_factory=list)
    mode: AppendMode = AppendMode.APPLY
    head: int = 0
    rounds: int = 0
    single: bool = False
    """Decide one command a round, because the database refused something of several."""


class AttemptLedger(Protocol):
    """Where the attempts of failing records are counted, so that they survive the worker."""

    async def count(self, item: Incoming, error: str) -> int:
        """Count one more attempt; answers how many there were."""
        ...

    async def forget(self, items: Sequence[Incoming]) -> None:
        """These records have an outcome."""
        ...


class WorkerDied(Exception):
    """The record was in work each time its worker died; it is parked without another try."""


class BatchProcessor:
    """Settles groups of commands. It returns only when each has its outcome in the store, or raises Abandoned having
    acknowledged nothing."""

    def __init__(
        self,
        store: EventStore,
        cache: StateCache,
        ledger: AttemptLedger,
        metrics: Metrics,
        topic: str,
        attempts_before_parking: int,
        references: ReferenceReader | None = None,
        measured: Mapping[Measured, Sequence[str]] | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._ledger = ledger
        self._metrics = metrics
        self._topic = topic
        self._limit = attempts_before_parking
        self._references = references
        self._cautious = 0
        self._counts = CommandCounts(metrics, store.context, topic, measured or {})

    async def settle(
        self,
        context: BatchContext,
        groups: list[Group],
        unreadable: Sequence[Unreadable],
        retry: TransientRetry,
        probing: Callable[[Incoming], bool] | None = None,
    ) -> None:
        """Bring every command of the groups to its outcome and park what is unreadable. `probing` names records to note before trying."""
        alone = [self._alone(context, record) for record in unreadable]
        if not groups and alone:
            await retry("append", lambda: self._store.append(alone))
        while groups:
            bases = await self._load(context, groups, self._cautious > 0 or probing is not None, retry)
            bases = await self._refer(context, groups, bases, retry)
            decisions = [await self._decide(context, group, basis, probing, retry) for group, basis in zip(groups, bases, strict=True)]
            refused = await self._append(groups, decisions, alone, retry)
            self._cautious = CAUTIOUS_BATCHES if refused else max(0, self._cautious - 1)
            alone = []
            groups = await self._next_round(groups, decisions, refused, retry)

    @staticmethod
    def _alone(context: BatchContext, record: Unreadable) -> AggregateAppend:
        letter = unreadable_letter(context, record.record, record.error_type, record.reason)
        return AggregateAppend("", 0, dead_letters=[letter])

    def be_cautious(self) -> None:
        """Repeats are to be expected (partitions were taken over): load before deciding for a while."""
        self._cautious = CAUTIOUS_BATCHES

    async def _load(self, context: BatchContext, groups: list[Group], look_first: bool, retry: TransientRetry) -> list[Basis]:
        """What each group is decided on. A cached or a new aggregate is not loaded: the append proves that it was decided on the last
        version and that its commands were unknown, else it is left out, loaded, and decided again."""
        bases = [Basis(self._cache.get(group.aggregate_id), LoadedStream()) for group in groups]
        creates = context.aggregate_type.creates
        wanted = [
            index
            for index, group in enumerate(groups)
            if look_first
            or group.rounds
            or group.mode is not AppendMode.APPLY
            or (bases[index].cached.version == 0 and type(group.items[0].command) not in creates)
        ]
        if wanted:
            queries = [
                StreamQuery(group.aggregate_id, bases[index].cached.version, [item.metadata.message_id for item in group.items])
                for index in wanted
                for group in (groups[index],)
            ]
            loaded = await retry("load", lambda: self._store.load(queries))
            for index in wanted:
                bases[index] = Basis(bases[index].cached, loaded[groups[index].aggregate_id])
        return bases

    async def _refer(self, context: BatchContext, groups: list[Group], bases: list[Basis], retry: TransientRetry) -> list[Basis]:
        """The bases with what their commands need of other contexts, read in one query, in each round anew."""
        reader = self._references
        if reader is None or not any(reader.is_needed_by(group.items) for group in groups):
            return bases
        keys: set[Hashable] = set()
        for index, (group, basis) in enumerate(zip(groups, bases, strict=True)):
            if reader.is_needed_by(group.items):
                state = _rebuilt(context, basis)
                if state is not None:
                    keys |= reader.keys(state.state, group.items)
                    bases[index] = Basis(state, replace(basis.loaded, events=[]))
        references = await retry("reference", lambda: reader.read(keys))
        return [basis._replace(references=references) for basis in bases]

    async def _decide(
        self, context: BatchContext, group: Group, basis: Basis, probing: Callable[[Incoming], bool] | None, retry: TransientRetry
    ) -> Decision:
        if probing is not None and group.mode is AppendMode.APPLY and not basis.loaded.parked and any(map(probing, group.items)):
            await self._probe(context, group, basis, retry)
        items = group.items[:1] if group.single else group.items
        decision = self._decide_group(context, group, items, basis)
        if group.single:
            decision.waiting.extend(group.items[1:])
        return decision

    def _decide_group(self, context: BatchContext, group: Group, items: Sequence[Incoming], basis: Basis) -> Decision:
        return decide_aggregate(
            context,
            group.aggregate_id,
            items,
            basis.loaded,
            basis.cached,
            attempts_before_parking=self._limit,
            mode=group.mode,
            head=group.head,
            references=basis.references,
        )

    async def _probe(self, context: BatchContext, group: Group, basis: Basis, retry: TransientRetry) -> None:
        """After a crash: note each record before trying it, so that the one that kills its worker is known when it has done so again."""
        probed: list[Incoming] = []
        for count, item in enumerate(group.items, start=1):
            if item.metadata.message_id in basis.loaded.known or item.attempts:
                continue
            attempts = await retry("attempts", lambda: self._ledger.count(item, "in work when its worker died"))  # noqa: B023
            if attempts > max(self._limit, TRIES_AFTER_CRASH):
                item.attempts = attempts - 1
                item.defect = WorkerDied(f"its worker died {attempts - 1} times while it was in work")
                return
            self._decide_group(context, group, [replace(given) for given in group.items[:count]], basis)
            probed.append(item)
        if probed:
            await retry("attempts", lambda: self._ledger.forget(probed))

    async def _append(
        self, groups: list[Group], decisions: list[Decision], alone: list[AggregateAppend], retry: TransientRetry
    ) -> dict[str, Refusal]:
        appends = [decision.append for decision in decisions if decision.to_append] + alone
        if not appends:
            return {}
        started = time.perf_counter()
        try:
            refused = await retry("append", lambda: self._store.append(appends))
        except DataError:
            refused = await self._append_one_by_one(groups, decisions, alone, retry)
        self._metrics.event_append_duration_seconds.observe(time.perf_counter() - started, exemplar())
        return refused

    async def _append_one_by_one(
        self, groups: list[Group], decisions: list[Decision], alone: list[AggregateAppend], retry: TransientRetry
    ) -> dict[str, Refusal]:
        """Some data was refused by the database: find whose it is; the aggregate's records count it as a defect."""
        refused: dict[str, Refusal] = {}
        for letter in alone:
            await retry("append", lambda: self._store.append([letter]))  # noqa: B023
        for group, decision in zip(groups, decisions, strict=True):
            if not decision.to_append:
                continue
            try:
                refused.update(await retry("append", lambda: self._store.append([decision.append])))  # noqa: B023
            except DataError as error:
                self._put_back(group, decision, error)
        return refused

    def _put_back(self, group: Group, decision: Decision, error: DataError) -> None:
        items = group.items
        if len(items) == 1 or group.single:
            items[0].attempts += 1
            if items[0].attempts >= self._limit:
                items[0].defect = error
        group.single = True
        append = decision.append
        append.outcomes, append.events, append.rejections, append.dead_letters = [], [], [], []
        decision.settled, decision.waiting, decision.defect, decision.durations = [], items, error, []

    async def _next_round(
        self, groups: list[Group], decisions: list[Decision], refused: dict[str, Refusal], retry: TransientRetry
    ) -> list[Group]:
        again: list[Group] = []
        for group, decision in zip(groups, decisions, strict=True):
            if group.aggregate_id in refused:
                self._cache.drop(group.aggregate_id)
                self._metrics.event_append_conflicts_total.inc()
                if group.mode is not AppendMode.REDRIVE or refused[group.aggregate_id] != "not_head":
                    again.append(group)
                continue
            await self._settled(group, decision)
            if decision.waiting:
                if decision.defect is not None:
                    await self._count_defect(decision, retry)
                if decision.settled:
                    group.rounds = 0  # it got on
                group.items = decision.waiting
                again.append(group)
        self._counts.written([decision for group, decision in zip(groups, decisions, strict=True) if group.aggregate_id not in refused])
        if again:
            await self._wait(again, decisions)
        return again

    async def _wait(self, again: list[Group], decisions: list[Decision]) -> None:
        for group in again:
            group.rounds += 1
        rounds = max(group.rounds for group in again)
        if rounds > ROUNDS_WITHOUT_WAIT or any(decision.defect for decision in decisions if decision.waiting):
            await asyncio.sleep(delay_ms(min(rounds, 5)) / 1000)

    async def _count_defect(self, decision: Decision, retry: TransientRetry) -> None:
        item = decision.waiting[0]
        logger.warning("attempt %d at command %s failed by a defect", item.attempts, item.metadata.message_id, exc_info=decision.defect)
        self._metrics.retries_total.labels(name="decide").inc()
        if item.attempts >= 2:
            counted = await retry("attempts", lambda: self._ledger.count(item, repr(decision.defect)[:500]))
            item.attempts = max(item.attempts, counted)

    async def _settled(self, group: Group, decision: Decision) -> None:
        if decision.defect is None:
            self._cache.put(group.aggregate_id, decision.after)
        else:
            self._cache.drop(group.aggregate_id)
        for item, differs in decision.duplicates:
            if differs:
                logger.warning(
                    "command id %s of %s came again with another payload; the first one's outcome stands",
                    item.metadata.message_id,
                    group.aggregate_id,
                )
        failed = [item for item in decision.settled if item.attempts]
        tell_outcomes(group.aggregate_id, decision)
        if failed:
            await self._ledger.forget(failed)


def _rebuilt(context: BatchContext, basis: Basis) -> CachedState | None:
    """The state to decide on; None where a broken event is in the way: the decision meets it too, and counts it as a defect."""
    try:
        return rebuild(context.aggregate_type, basis.cached, basis.loaded)
    except Exception:
        return None


def now_texts() -> tuple[datetime, str]:
    """The time of a batch, and as RFC 3339 text."""
    now = datetime.now(UTC)
    return now, now.isoformat(timespec="microseconds").replace("+00:00", "Z")
