"""The runs and the other side that the suites of the ledger of effects play with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from infra.effects.base import EffectFilter, EffectLedger, EffectRecord, Probe, Rule, RunClaim
from infra.effects.once import HostEffects, RunEffects
from infra.telemetry.metrics import Metrics

MAIL = {"to": "ann@example.org", "text": "Your refund is on its way."}
EVERY = EffectFilter(statuses=None)


class Runs(Protocol):
    """The claims that a ledger checks against."""

    async def claim(self, task_id: str, attempt: int, host_id: str) -> None:
        """Give the run to a host, whoever held it."""

    async def end(self, task_id: str, attempt: int) -> None:
        """Its lease runs out."""


def claim_of(attempt: int = 1, host: str = "host-a", *, tenant: str = "acme", task: str = "task-1") -> RunClaim:
    return RunClaim(tenant, task, attempt, host)


class Crash(BaseException):
    """Ends a run as a crash of its process does: nothing of ours runs after it."""


class Outside:
    """The other side: counts what is done to it, and answers with the number."""

    def __init__(self, *, fails: BaseException | None = None, crashes: str = "") -> None:
        self.done = 0
        self.fails = fails
        self.crashes = crashes

    async def call(self) -> dict[str, int]:
        if self.crashes == "before":
            raise Crash
        if self.fails is not None:
            raise self.fails
        self.done += 1
        if self.crashes == "after":
            raise Crash
        return {"number": self.done}


async def crash(effects: RunEffects, outside: Outside, when: str, rule: Rule | Probe = Rule.PERSON, name: str = "mail") -> None:
    """The run dies before or after the other side did it."""
    outside.crashes = when
    with pytest.raises(Crash):
        await effects.once(name, outside.call, input=MAIL, rule=rule)
    outside.crashes = ""


def answers(value: Any) -> Callable[[], Awaitable[Any]]:
    async def answer() -> Any:
        return value

    return answer


async def only(ledger: EffectLedger) -> EffectRecord:
    (record,) = await ledger.find(EVERY, 10)
    return record


def counted(metrics: Metrics, outcome: str, name: str = "mail") -> float:
    return metrics.registry.get_sample_value("agentmesh_effects_total", {"name": name, "outcome": outcome}) or 0


class EffectRuns:
    """Fixtures of the suites: the first run of a task and the later ones."""

    @pytest.fixture
    def metrics(self) -> Metrics:
        return Metrics()

    @pytest.fixture
    async def first(self, ledger: EffectLedger, runs: Runs, metrics: Metrics) -> RunEffects:
        """The effects of attempt 1 on host-a, whose claim is live."""
        await runs.claim("task-1", 1, "host-a")
        return HostEffects(ledger, metrics).of_run(claim_of())

    @pytest.fixture
    def later(self, ledger: EffectLedger, runs: Runs, metrics: Metrics) -> Callable[[int], Awaitable[RunEffects]]:
        """The effects of a later attempt on host-b; the claim of the one before has ended."""

        async def attempt(number: int = 2) -> RunEffects:
            await runs.end("task-1", number - 1)
            await runs.claim("task-1", number, "host-b")
            return HostEffects(ledger, metrics).of_run(claim_of(number, "host-b"))

        return attempt
