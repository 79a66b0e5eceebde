"""The port to the ledger of effects, and what an agent sees of it: `once` and `key`; adapters and the work behind `once` stand beside.

    mail = {"to": "ann@example.org", "text": "Your refund is on its way."}
    sent = await context.effects.once("mail", lambda: post(mail, context.effects.key("mail", input=mail)), input=mail, rule=Rule.PERSON)

An effect whose outcome is recorded is never repeated. One that was interrupted is settled by its rule (RUNTIME section 8).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final, NamedTuple, Protocol

from pydantic import BaseModel

from infra.errors import MeshError

EXACT_FLOATS = 2**53


class EffectError(MeshError):
    """Base of what the ledger of effects raises.

    EffectError
    ├── ClaimLost           this run is not the task's any more: stop
    ├── EffectNeedsPerson   it may have happened, and only a person can tell
    └── EffectInvalid       a name, input or outcome that the ledger cannot hold
    """


class ClaimLost(EffectError):
    """The claim of this run has ended or moved: another host, a later attempt, an expired lease. What is unrecorded is interrupted."""


class EffectNeedsPerson(EffectError):
    """The effect was interrupted, may have happened, and its rule leaves it to a person. Every attempt gets this until it is settled."""

    def __init__(self, effect: Effect) -> None:
        super().__init__(
            f"The effect {effect.name} of {effect.task_id} was interrupted and may have happened. See whether it did, then: agentmesh "
            f"effects settle {effect.effect_id} --outcome JSON (or --not-done) --reason TEXT"
        )
        self.effect_id = effect.effect_id


class EffectInvalid(EffectError, ValueError):
    """The ledger cannot hold this name, input or outcome; the message says why."""


class EffectRefused(Exception):
    """Raised by the call of an effect to say that nothing happened, so that it may be called again.

    It speaks of the whole call: raise it only where no step of it can have taken effect (a connection refused, an answer 4xx). Every other
    exception, a time limit among them, leaves open what happened.
    """


class Rule(StrEnum):
    """How an interrupted effect is settled."""

    REPEAT = "repeat"
    """Called again, and counted; for what does no harm twice, such as model calls."""
    PROBE = "probe"
    """The other side is asked; declared with `Probe`."""
    PERSON = "person"
    """Left to a person; for what must not happen twice and cannot be asked for, such as mail."""


class NotDone(Enum):
    """The type of NOT_DONE."""

    NOT_DONE = "not done"


NOT_DONE: Final = NotDone.NOT_DONE


@dataclass(frozen=True, slots=True)
class Probe:
    """The rule `probe` with its question: `ask` answers the outcome as the call would have, or NOT_DONE. If it raises, it is asked again by
    the next attempt."""

    ask: Callable[[], Awaitable[Any]]


class Effects(Protocol):
    """The effects of one run, as its agent uses them."""

    async def once(self, name: str, call: Callable[[], Awaitable[Any]], *, input: Any, rule: Rule | Probe = Rule.PERSON) -> Any:
        """The outcome of `call`, a JSON value: recorded by an earlier attempt, or made now.

        The n-th `once` of a name with an input is the same effect in every attempt: ask for the effects of one name in the same order each
        time. `input` is all that the call depends on, a JSON value or a pydantic model.

        Raises what the call raises, ClaimLost, EffectNeedsPerson, EffectInvalid.
        """
        ...

    def key(self, name: str, *, input: Any) -> str:
        """The text to send as Idempotency-Key: of the running effect inside its call, else of the next `once` of this name."""
        ...


class RunClaim(NamedTuple):
    """One attempt at a task by one host, as claimed in `task_runs`."""

    tenant_id: str
    task_id: str
    attempt: int
    host_id: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What makes an effect the same in every attempt."""

    tenant_id: str
    task_id: str
    name: str
    ordinal: int
    """From 1: how many effects of this name the run has asked for."""
    input_text: str
    """Canonical JSON."""

    @property
    def input_hash(self) -> str:
        """SHA-256 of the input."""
        return hashlib.sha256(self.input_text.encode()).hexdigest()

    @property
    def effect_id(self) -> str:
        """The key of the row, and the Idempotency-Key for the outside."""
        parts = canonical_json([self.tenant_id, self.task_id, self.name, self.ordinal, self.input_hash])
        return f"eff-{hashlib.sha256(parts.encode()).hexdigest()[:40]}"


class Step(StrEnum):
    """What a run has to do about an effect that it began."""

    CALL = "call"
    REPEAT = "repeat"
    PROBE = "probe"
    RECORDED = "recorded"
    WAITING = "waiting"
    BUSY = "busy"
    """Another live claim is at it: wait, begin again."""


class Begun(NamedTuple):
    """The answer to `begin`; `outcome` is JSON text when it is recorded."""

    step: Step
    outcome: str | None = None


class Status(StrEnum):
    """Where an effect stands."""

    INTENDED = "intended"
    PROBING = "probing"
    INTERRUPTED = "interrupted"
    WAITING = "waiting"
    FAILED = "failed"
    RECORDED = "recorded"


UNSETTLED = (Status.INTENDED, Status.PROBING, Status.INTERRUPTED, Status.WAITING)
FROM_CALL = "call"
FROM_PROBE = "probe"
FROM_PERSON = "person"


class Move(NamedTuple):
    """Where an effect that a run holds goes next. `intended` is for a probe that found it not done."""

    status: Status
    outcome: str | None = None
    outcome_from: str | None = None
    error: str | None = None


class Settlement(NamedTuple):
    """A person's word on an effect."""

    who: str
    why: str
    at: str
    done: bool


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """All that is known of an effect."""

    effect_id: str
    tenant_id: str
    task_id: str
    name: str
    ordinal: int
    input_hash: str
    input_text: str | None
    """JSON; None for effects that are simply repeated."""
    rule: Rule
    status: Status
    host_id: str
    attempt: int
    calls: int
    """How often it was called, or was about to be."""
    outcome: str | None
    """JSON."""
    outcome_from: str | None
    error: str | None
    """What the last call raised that did not succeed."""
    settlements: tuple[Settlement, ...]
    created_at: datetime
    changed_at: datetime


class EffectFilter(NamedTuple):
    """Which effects are meant; what is None does not filter."""

    statuses: Sequence[Status] | None = UNSETTLED
    effect_id: str | None = None
    task_id: str | None = None
    tenant_id: str | None = None


class EffectLedger(Protocol):
    """Effects and their outcomes. What it answers is durable. Every method raises TransientError when the ledger cannot be reached, and may
    then be called again with the same arguments."""

    async def begin(self, effect: Effect, rule: Rule, claim: RunClaim, turn: str) -> Begun:
        """Record the intent, or answer what stands in its place. `turn` is a text of this `once` alone. Raises ClaimLost."""
        ...

    async def move(self, effect: Effect, claim: RunClaim, turn: str, move: Move) -> None:
        """Move an effect on that this turn began. Raises ClaimLost when the claim is not live, or another turn has taken the effect."""
        ...

    async def find(self, wanted: EffectFilter, limit: int) -> list[EffectRecord]:
        """At most `limit` effects, the newest change first. One under way whose claim is not live any more counts as interrupted."""
        ...

    async def settle(self, effect_id: str, outcome: str | None, who: str, why: str) -> bool:
        """A person's word: the outcome as JSON text, or None for not done. False when it is settled, under way, or unknown."""
        ...


def canonical_json(value: Any) -> str:
    """The same text for equal JSON values: keys sorted, no spaces, ASCII, 1.0 as 1. Raises EffectInvalid for what is not JSON."""
    try:
        return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise EffectInvalid("The input of an effect is nested too deeply, or contains itself.") from None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return {_name(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    raise EffectInvalid(f"The input of an effect holds a {type(value).__name__}: give JSON values or pydantic models only.")


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise EffectInvalid(f"The input of an effect holds {value}, which JSON does not have.")
    return int(value) if value.is_integer() and abs(value) < EXACT_FLOATS else value


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise EffectInvalid(f"The input of an effect has the key {name!r}: keys are text in JSON.")
    return name
