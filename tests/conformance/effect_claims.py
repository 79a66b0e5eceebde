"""What every ledger of effects must promise about claims: part of the suite of the port."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.effects.base import ClaimLost, Effect, EffectLedger, EffectNeedsPerson, EffectRefused, Move, Rule, Status, Step
from infra.effects.once import HostEffects, RunEffects
from infra.telemetry.metrics import Metrics
from tests.conformance.effect_runs import EVERY, MAIL, EffectRuns, Outside, Runs, answers, claim_of, counted, crash, only


@pytest.mark.conformance
class EffectClaimsSuite(EffectRuns):
    """Who may begin an effect and record its outcome, and what two do at the same time."""

    # -- claims ------------------------------------------------------------------------------------------------------------------------

    async def test_without_a_live_claim_nothing_is_begun(self, ledger: EffectLedger, runs: Runs) -> None:
        outside, host = Outside(), HostEffects(ledger)
        await runs.claim("task-1", 1, "host-a")
        for claim in (claim_of(2), claim_of(1, "host-b"), claim_of(task="task-2")):
            with pytest.raises(ClaimLost, match=f"attempt {claim.attempt} of {claim.task_id}"):
                await host.of_run(claim).once("mail", outside.call, input=MAIL)
        await runs.end("task-1", 1)
        with pytest.raises(ClaimLost):
            await host.of_run(claim_of()).once("mail", outside.call, input=MAIL)
        assert (outside.done, await ledger.find(EVERY, 10)) == (0, [])

    async def test_an_attempt_that_has_a_successor_begins_nothing_though_its_lease_is_live(self, first: RunEffects, runs: Runs) -> None:
        outside = Outside()
        await runs.claim("task-1", 2, "host-b")
        with pytest.raises(ClaimLost):
            await first.once("mail", outside.call, input=MAIL)
        assert outside.done == 0

    async def test_an_outcome_after_the_lease_is_refused_and_stays_interrupted(
        self, ledger: EffectLedger, first: RunEffects, runs: Runs
    ) -> None:
        outside = Outside()

        async def slow() -> Any:
            await runs.end("task-1", 1)
            return await outside.call()

        with pytest.raises(ClaimLost):
            await first.once("mail", slow, input=MAIL)
        assert (outside.done, (await only(ledger)).status) == (1, Status.INTERRUPTED)

    async def test_a_refusal_after_the_lease_is_still_the_calls_own_error(
        self, ledger: EffectLedger, first: RunEffects, runs: Runs
    ) -> None:
        async def slow() -> Any:
            await runs.end("task-1", 1)
            raise EffectRefused("no")

        with pytest.raises(EffectRefused):
            await first.once("mail", slow, input=MAIL)
        assert (await only(ledger)).status is Status.INTERRUPTED

    async def test_the_frozen_host_of_two_with_the_same_task_is_refused(
        self, ledger: EffectLedger, first: RunEffects, runs: Runs, later: Any
    ) -> None:
        """The first is frozen in its call; its lease runs out; the second repeats; the first thaws, with its lease even renewed."""
        frozen, thaw = asyncio.Event(), asyncio.Event()

        async def freeze() -> Any:
            frozen.set()
            await thaw.wait()
            return "of the first"

        old = asyncio.create_task(first.once("mail", freeze, input=MAIL, rule=Rule.REPEAT))
        await frozen.wait()
        assert await (await later(2)).once("mail", answers("of the second"), input=MAIL, rule=Rule.REPEAT) == "of the second"
        await runs.claim("task-1", 1, "host-a")
        thaw.set()
        with pytest.raises(ClaimLost, match="host-a does not hold attempt 1"):
            await old
        record = await only(ledger)
        assert (record.outcome, record.host_id, record.calls) == ('"of the second"', "host-b", 2)

    async def test_the_same_attempt_taken_over_by_another_host_refuses_the_first(
        self, ledger: EffectLedger, first: RunEffects, runs: Runs
    ) -> None:
        async def moves() -> Any:
            await runs.claim("task-1", 1, "host-b")
            return "of the first"

        with pytest.raises(ClaimLost):
            await first.once("mail", moves, input=MAIL)
        with pytest.raises(EffectNeedsPerson):
            await HostEffects(ledger).of_run(claim_of(1, "host-b")).once("mail", answers("x"), input=MAIL)

    async def test_a_paused_run_does_not_take_a_persons_word_for_its_own(self, ledger: EffectLedger, first: RunEffects, runs: Runs) -> None:
        async def slow() -> Any:
            await runs.end("task-1", 1)
            assert await ledger.settle((await only(ledger)).effect_id, '"of the person"', "ann", "seen")
            await runs.claim("task-1", 1, "host-a")
            return "of the run"

        with pytest.raises(ClaimLost):
            await first.once("mail", slow, input=MAIL)
        assert (await only(ledger)).outcome == '"of the person"'

    async def test_the_same_host_that_starts_its_run_again_finds_it_interrupted(self, ledger: EffectLedger, first: RunEffects) -> None:
        outside = Outside()
        await crash(first, outside, "after", Rule.REPEAT)
        restarted = HostEffects(ledger).of_run(claim_of())
        assert await restarted.once("mail", outside.call, input=MAIL, rule=Rule.REPEAT) == {"number": 2}

    async def test_a_host_started_again_refuses_what_its_earlier_self_records_late(self, ledger: EffectLedger, runs: Runs) -> None:
        await runs.claim("task-1", 1, "host-a")
        effect, claim = Effect("acme", "task-1", "model", 1, "{}"), claim_of()
        await ledger.begin(effect, Rule.REPEAT, claim, "t1")
        assert (await ledger.begin(effect, Rule.REPEAT, claim, "t2")).step is Step.REPEAT
        for late in (Move(Status.RECORDED, "1", "call"), Move(Status.FAILED, error="late"), Move(Status.INTERRUPTED, error="late")):
            with pytest.raises(ClaimLost):
                await ledger.move(effect, claim, "t1", late)
        await ledger.move(effect, claim, "t2", Move(Status.RECORDED, "2", "call"))
        record = await only(ledger)
        assert (record.outcome, record.error, record.calls) == ("2", None, 2)

    # -- at the same time ---------------------------------------------------------------------------------------------------------------

    async def test_one_host_asked_twice_at_once_for_the_same_effect_makes_it_once(
        self, ledger: EffectLedger, runs: Runs, metrics: Metrics
    ) -> None:
        await runs.claim("task-1", 1, "host-a")
        outside, host = Outside(), HostEffects(ledger, metrics)

        async def slow() -> Any:
            await asyncio.sleep(0.02)
            return await outside.call()

        found = await asyncio.gather(*(host.of_run(claim_of()).once("mail", slow, input=MAIL) for _ in range(5)))
        assert found == [{"number": 1}] * 5
        assert (outside.done, counted(metrics, "recorded"), counted(metrics, "reused")) == (1, 1, 4)

    async def test_a_later_attempt_waits_for_a_live_one_and_takes_its_outcome(
        self, ledger: EffectLedger, first: RunEffects, runs: Runs, metrics: Metrics
    ) -> None:
        """Both leases are live: the call may be under way, so neither repeating nor probing would be right."""
        started, go = asyncio.Event(), asyncio.Event()

        async def slow() -> Any:
            started.set()
            await go.wait()
            return "of the first"

        old = asyncio.create_task(first.once("mail", slow, input=MAIL, rule=Rule.REPEAT))
        await started.wait()
        await runs.claim("task-1", 2, "host-b")
        second = HostEffects(ledger, metrics).of_run(claim_of(2, "host-b"))
        new = asyncio.create_task(second.once("mail", answers("of the second"), input=MAIL, rule=Rule.REPEAT))
        await asyncio.sleep(0.1)
        assert not new.done()
        go.set()
        assert [await old, await new] == ["of the first"] * 2
        assert (counted(metrics, "recorded"), counted(metrics, "reused")) == (1, 1)

    async def test_a_later_attempt_that_waits_goes_on_when_the_lease_runs_out(
        self, ledger: EffectLedger, first: RunEffects, runs: Runs
    ) -> None:
        await crash(first, Outside(), "after", Rule.REPEAT)
        await runs.claim("task-1", 2, "host-b")
        second = HostEffects(ledger).of_run(claim_of(2, "host-b"))
        new = asyncio.create_task(second.once("mail", answers("of the second"), input=MAIL, rule=Rule.REPEAT))
        await asyncio.sleep(0.1)
        assert not new.done()
        await runs.end("task-1", 1)
        assert await new == "of the second"

    # -- the same statement again --------------------------------------------------------------------------------------------------------

    async def test_a_step_repeated_because_its_answer_was_lost_changes_nothing(self, ledger: EffectLedger, runs: Runs) -> None:
        await runs.claim("task-1", 1, "host-a")
        effect, claim = Effect("acme", "task-1", "mail", 1, "{}"), claim_of()
        for _ in range(2):
            assert (await ledger.begin(effect, Rule.PERSON, claim, "t1")).step is Step.CALL
        for _ in range(2):
            assert (await ledger.begin(effect, Rule.PROBE, claim, "t2")).step is Step.PROBE
        for _ in range(2):
            await ledger.move(effect, claim, "t2", Move(Status.INTENDED))
        for _ in range(2):
            await ledger.move(effect, claim, "t2", Move(Status.RECORDED, "1", "call"))
        with pytest.raises(ClaimLost):
            await ledger.move(effect, claim, "t1", Move(Status.RECORDED, "2", "call"))
        record = await only(ledger)
        assert (record.calls, record.outcome) == (2, "1")
        assert (await ledger.begin(effect, Rule.PERSON, claim, "t3")) == (Step.RECORDED, "1")

    async def test_what_is_settled_moves_no_more(self, ledger: EffectLedger, runs: Runs) -> None:
        await runs.claim("task-1", 1, "host-a")
        effect, claim = Effect("acme", "task-1", "mail", 1, "{}"), claim_of()
        with pytest.raises(ClaimLost):
            await ledger.move(effect, claim, "t1", Move(Status.RECORDED, "1", "call"))
        await ledger.begin(effect, Rule.PERSON, claim, "t1")
        await ledger.move(effect, claim, "t1", Move(Status.FAILED, error="x"))
        with pytest.raises(ClaimLost):
            await ledger.move(effect, claim, "t1", Move(Status.RECORDED, "1", "call"))
        assert (await only(ledger)).status is Status.FAILED
