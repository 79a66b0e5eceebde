"""Calls in, outcomes out, each effect made once: the work behind an agent's `once`, over any ledger; built by the agent host.

Intent, call, outcome: whatever ends between two of them leaves an effect that the next attempt finds interrupted, and settles by its rule.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakValueDictionary

from pydantic_core import to_jsonable_python

from infra.effects.base import (
    FROM_CALL,
    FROM_PROBE,
    NOT_DONE,
    Begun,
    Effect,
    EffectInvalid,
    EffectLedger,
    EffectNeedsPerson,
    EffectRefused,
    Move,
    Probe,
    Rule,
    RunClaim,
    Status,
    Step,
    canonical_json,
)
from infra.errors import MeshError
from infra.resilience.retry import Abandoned, TransientRetry
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
Call = Callable[[], Awaitable[Any]]

NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")
ERROR_LENGTH = 2_000
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
# How long a run that was cancelled may still take to record what its call has done.
LAST_WORD_SECONDS = 5.0

_running: ContextVar[Effect | None] = ContextVar("running_effect", default=None)


# What becomes of an effect, as operators read it.
OUTCOMES = ("recorded", "reused", "repeated", "probed", *(str(each) for each in (Status.WAITING, Status.FAILED, Status.INTERRUPTED)))


class HostEffects:
    """The effects of the runs of one process. Two runs of it that ask for the same effect take turns; other processes are told apart by
    their claims, so a host id names one process at a time.

    `retry` makes what goes over calls of the ledger while it is away; without it a TransientError comes out of `once`.
    """

    def __init__(self, ledger: EffectLedger, metrics: Metrics | None = None, retry: Callable[[], TransientRetry] | None = None) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._retry = retry
        self._counted: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of_run(self, claim: RunClaim) -> RunEffects:
        """The effects of one run, for its agent; one object for each time that a run is started."""
        return RunEffects(self, claim)

    def alone(self, effect_id: str) -> asyncio.Lock:
        """A lock that keeps the runs of this process apart at one effect."""
        return self._locks.setdefault(effect_id, asyncio.Lock())

    def count(self, effect: Effect, outcome: str) -> None:
        """Count an effect by name and outcome."""
        if self._metrics is None:
            return
        if effect.name not in self._counted:
            self._counted.add(effect.name)
            for each in OUTCOMES:
                self._metrics.effects_total.labels(effect.name, each)
        self._metrics.effects_total.labels(effect.name, outcome).inc()

    async def begin(self, effect: Effect, rule: Rule, claim: RunClaim, turn: str) -> Begun:
        """Begin, and wait while another live claim is at it. It ends: the other's outcome comes, or its lease runs out."""
        wait = FIRST_WAIT_SECONDS
        while (begun := await self._tried("begin effect", lambda: self._ledger.begin(effect, rule, claim, turn))).step is Step.BUSY:
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
        return begun

    async def move(self, effect: Effect, claim: RunClaim, turn: str, move: Move) -> None:
        """Move an effect on; a cancellation waits for it, because what has happened must not be forgotten."""
        await _to_its_end(self._tried(f"effect {move.status}", lambda: self._ledger.move(effect, claim, turn, move)))

    async def _tried(self, name: str, call: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        return await (call() if self._retry is None else self._retry()(name, call))


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task}, timeout=LAST_WORD_SECONDS)
        task.cancel()
        with suppress(asyncio.CancelledError, MeshError, Abandoned):
            await task
        raise


class RunEffects:
    """The effects of one run; promises as in `infra.effects.base.Effects`."""

    def __init__(self, host: HostEffects, claim: RunClaim) -> None:
        self._host = host
        self._claim = claim
        self._asked: Counter[str] = Counter()

    def key(self, name: str, *, input: Any) -> str:
        """See the port."""
        text = canonical_json(input)
        running = _running.get()
        if running is not None and running == self._effect(name, running.ordinal, text):
            return running.effect_id
        return self._effect(name, self._asked[name] + 1, text).effect_id

    async def once(self, name: str, call: Call, *, input: Any, rule: Rule | Probe = Rule.PERSON) -> Any:
        """See the port."""
        if not NAME.fullmatch(name):
            raise EffectInvalid(f"An effect is named by a-z, 0-9, '.', '_', '-', at most 64 characters, from a letter on; not {name!r}.")
        if rule is Rule.PROBE:
            raise EffectInvalid("The rule probe is declared with its question: rule=Probe(ask).")
        text = canonical_json(input)
        # Before the first await, so that effects asked for together have the order in which they were asked for.
        self._asked[name] += 1
        effect = self._effect(name, self._asked[name], text)
        token = _running.set(effect)
        try:
            async with self._host.alone(effect.effect_id):
                return json.loads(await self._outcome(effect, call, rule))
        finally:
            _running.reset(token)

    def _effect(self, name: str, ordinal: int, input_text: str) -> Effect:
        return Effect(self._claim.tenant_id, self._claim.task_id, name, ordinal, input_text)

    async def _outcome(self, effect: Effect, call: Call, rule: Rule | Probe) -> str:
        turn = uuid4().hex
        declared = Rule.PROBE if isinstance(rule, Probe) else rule
        begun = await self._host.begin(effect, declared, self._claim, turn)
        if begun.step is Step.RECORDED:
            assert begun.outcome is not None
            self._host.count(effect, "reused")
            return begun.outcome
        if begun.step is Step.WAITING:
            self._host.count(effect, "waiting")
            raise EffectNeedsPerson(effect)
        if begun.step is Step.REPEAT:
            self._host.count(effect, "repeated")
        if begun.step is Step.PROBE and isinstance(rule, Probe):
            found = await self._made(effect, turn, rule.ask, refused=Status.INTERRUPTED)
            if found is not NOT_DONE:
                return await self._record(effect, turn, found, FROM_PROBE)
            await self._host.move(effect, self._claim, turn, Move(Status.INTENDED))
        return await self._record(effect, turn, await self._made(effect, turn, call), FROM_CALL)

    async def _made(self, effect: Effect, turn: str, call: Call, refused: Status = Status.FAILED) -> Any:
        """What the call answers. What it raises is raised, after the effect was marked; `refused` is the mark for EffectRefused, which of a
        probe says nothing about the call before it."""
        try:
            return await call()
        except EffectRefused as error:
            await self._mark(effect, turn, refused, error)
            raise
        except (Exception, asyncio.CancelledError) as error:
            await self._mark(effect, turn, Status.INTERRUPTED, error)
            raise

    async def _record(self, effect: Effect, turn: str, value: Any, source: str) -> str:
        try:
            outcome = json.dumps(value, default=to_jsonable_python, allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            await self._mark(effect, turn, Status.INTERRUPTED, error)
            raise EffectInvalid(f"The effect {effect.name} happened, but what it answered is no JSON value: {error}") from error
        await self._host.move(effect, self._claim, turn, Move(Status.RECORDED, outcome, source))
        self._host.count(effect, "recorded" if source == FROM_CALL else "probed")
        return outcome

    async def _mark(self, effect: Effect, turn: str, status: Status, error: BaseException) -> None:
        """Say what became of a call that raised. Should that fail, the call's error is still raised; unmarked counts as interrupted."""
        self._host.count(effect, str(status))
        try:
            await self._host.move(effect, self._claim, turn, Move(status, error=described(error)))
        except (MeshError, Abandoned) as unmarked:
            logger.warning("effect %s (%s) was not marked as %s: %s", effect.effect_id, effect.name, status, unmarked)


def described(error: BaseException) -> str:
    """The error in a text that the ledger can hold."""
    return storable(f"{type(error).__name__}: {error}".removesuffix(": "))[:ERROR_LENGTH]


def storable(text: str) -> str:
    """The text without what Postgres refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
