"""The ledger in memory: the suite of the port, and the ledger without claims that tests of agents use."""

import pytest

from infra.effects.base import EffectLedger, EffectNeedsPerson, Rule
from infra.effects.memory import InMemoryEffectLedger, InMemoryRuns
from infra.effects.once import HostEffects
from tests.conformance.effect_runs import MAIL, Outside, Runs, claim_of, crash
from tests.conformance.effects import EffectLedgerSuite


class MemoryRuns:
    """The claims in memory, as the suite asks for them."""

    def __init__(self) -> None:
        self.held = InMemoryRuns()

    async def claim(self, task_id: str, attempt: int, host_id: str) -> None:
        self.held.claim(task_id, attempt, host_id)

    async def end(self, task_id: str, attempt: int) -> None:
        self.held.end(task_id, attempt)


class TestInMemoryEffectLedger(EffectLedgerSuite):
    """The suite over the adapter in memory."""

    @pytest.fixture
    def runs(self) -> Runs:
        return MemoryRuns()

    @pytest.fixture
    def ledger(self, runs: MemoryRuns) -> EffectLedger:
        return InMemoryEffectLedger(runs.held)


async def test_without_claims_every_run_may_make_effects_and_the_next_finds_them() -> None:
    outside, host = Outside(), HostEffects(InMemoryEffectLedger())
    assert await host.of_run(claim_of()).once("mail", outside.call, input=MAIL) == {"number": 1}
    assert await host.of_run(claim_of(2)).once("mail", outside.call, input=MAIL) == {"number": 1}


@pytest.mark.parametrize("rule", [Rule.REPEAT, Rule.PERSON])
async def test_without_claims_a_crash_is_seen_by_the_next_run(rule: Rule) -> None:
    outside, host = Outside(), HostEffects(InMemoryEffectLedger())
    await crash(host.of_run(claim_of()), outside, "after", rule)
    if rule is Rule.REPEAT:
        assert await host.of_run(claim_of(2)).once("mail", outside.call, input=MAIL, rule=rule) == {"number": 2}
    else:
        with pytest.raises(EffectNeedsPerson):
            await host.of_run(claim_of(2)).once("mail", outside.call, input=MAIL, rule=rule)
