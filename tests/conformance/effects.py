"""What every ledger of effects must promise: the suite of the port. An adapter's test subclasses it and supplies the two fixtures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.effects.base import NOT_DONE, EffectFilter, EffectInvalid, EffectLedger, EffectNeedsPerson, EffectRefused, Probe, Rule, Status
from infra.effects.once import HostEffects, RunEffects
from infra.telemetry.metrics import Metrics
from tests.conformance.effect_claims import EffectClaimsSuite
from tests.conformance.effect_runs import EVERY, MAIL, Outside, Runs, answers, claim_of, counted, crash, only


@pytest.mark.conformance
class EffectLedgerSuite(EffectClaimsSuite):
    """Subclass it with the fixtures `ledger` (an empty one) and `runs` (its claims, none yet)."""

    # -- once ------------------------------------------------------------------------------------------------------------------------

    async def test_an_effect_is_made_and_its_outcome_is_recorded(self, ledger: EffectLedger, first: RunEffects, metrics: Metrics) -> None:
        outside = Outside()
        assert await first.once("mail", outside.call, input=MAIL) == {"number": 1}
        record = await only(ledger)
        assert (record.status, record.outcome_from, record.calls, record.rule) == (Status.RECORDED, "call", 1, Rule.PERSON)
        assert (record.tenant_id, record.task_id, record.name, record.ordinal) == ("acme", "task-1", "mail", 1)
        assert (record.host_id, record.attempt, record.outcome) == ("host-a", 1, '{"number": 1}')
        assert counted(metrics, "recorded") == 1

    async def test_a_recorded_outcome_is_answered_to_every_later_attempt_without_a_call(
        self, first: RunEffects, later: Any, metrics: Metrics
    ) -> None:
        outside = Outside()
        await first.once("mail", outside.call, input=MAIL)
        for number in (2, 3):
            assert await (await later(number)).once("mail", outside.call, input=MAIL) == {"number": 1}
        assert outside.done == 1
        assert (counted(metrics, "recorded"), counted(metrics, "reused")) == (1, 2)

    @pytest.mark.parametrize(
        "value", [None, False, 0, "", [], "NUL \0, half \ud83d, whole \U0001f600", {"b": [1, 1.0, None], "a": {}}, 10**30]
    )
    async def test_any_json_value_is_an_outcome_and_comes_back_as_it_was(self, first: RunEffects, later: Any, value: Any) -> None:
        assert await first.once("mail", answers(value), input=MAIL) == value
        again = await (await later(2)).once("mail", answers("another"), input=MAIL)
        assert repr(again) == repr(value)

    async def test_the_first_answer_is_what_later_ones_will_be(self, first: RunEffects, later: Any) -> None:
        answer = await first.once("mail", answers({"parts": (1, 2)}), input=MAIL)
        assert answer == {"parts": [1, 2]}
        assert await (await later(2)).once("mail", answers(None), input=MAIL) == answer

    async def test_what_is_no_json_is_refused_before_the_call_and_leaves_it_open_after_it(
        self, ledger: EffectLedger, first: RunEffects, later: Any
    ) -> None:
        outside = Outside()
        with pytest.raises(EffectInvalid, match="holds a set"):
            await first.once("mail", outside.call, input={1, 2})
        assert (outside.done, await ledger.find(EVERY, 10)) == (0, [])
        with pytest.raises(EffectInvalid, match="The effect mail happened"):
            await first.once("mail", answers(float("nan")), input=MAIL)
        assert (await only(ledger)).status is Status.INTERRUPTED
        with pytest.raises(EffectNeedsPerson):
            await (await later(2)).once("mail", outside.call, input=MAIL)

    # -- what makes an effect another one -------------------------------------------------------------------------------------------

    async def test_the_same_name_and_input_twice_in_a_run_are_two_effects_in_every_attempt(self, first: RunEffects, later: Any) -> None:
        outside = Outside()
        assert [await first.once("mail", outside.call, input=MAIL) for _ in range(2)] == [{"number": 1}, {"number": 2}]
        second = await later(2)
        assert [await second.once("mail", outside.call, input=MAIL) for _ in range(3)] == [{"number": number} for number in (1, 2, 3)]

    async def test_ordinals_count_each_name_by_itself(self, ledger: EffectLedger, first: RunEffects) -> None:
        for name in ("mail", "refund", "mail"):
            await first.once(name, answers(name), input=MAIL)
        assert sorted((record.name, record.ordinal) for record in await ledger.find(EVERY, 10)) == [("mail", 1), ("mail", 2), ("refund", 1)]

    async def test_effects_asked_for_together_have_the_order_of_asking(self, ledger: EffectLedger, first: RunEffects) -> None:
        found = await asyncio.gather(*(first.once("mail", answers(number), input=number) for number in range(5)))
        assert found == list(range(5))
        inputs = {record.ordinal: record.input_text for record in await ledger.find(EVERY, 10)}
        assert inputs == {number + 1: str(number) for number in range(5)}

    async def test_another_input_is_another_effect(self, first: RunEffects, later: Any) -> None:
        outside = Outside()
        await first.once("mail", outside.call, input=MAIL)
        assert await (await later(2)).once("mail", outside.call, input={**MAIL, "text": "No refund."}) == {"number": 2}

    async def test_the_same_input_in_another_order_and_type_of_number_is_the_same_effect(self, first: RunEffects, later: Any) -> None:
        outside = Outside()
        await first.once("mail", outside.call, input={"a": 1, "b": (2.0,)})
        assert await (await later(2)).once("mail", outside.call, input={"b": [2], "a": 1.0}) == {"number": 1}

    async def test_another_tenant_or_task_has_its_own_effects(self, ledger: EffectLedger, runs: Runs, first: RunEffects) -> None:
        outside = Outside()
        await runs.claim("task-2", 1, "host-a")
        host = HostEffects(ledger)
        await first.once("mail", outside.call, input=MAIL)
        for claim in (claim_of(tenant="other"), claim_of(task="task-2")):
            await host.of_run(claim).once("mail", outside.call, input=MAIL)
        assert outside.done == 3
        assert len({record.effect_id for record in await ledger.find(EVERY, 10)}) == 3
        (found,) = await ledger.find(EffectFilter(None, tenant_id="other"), 10)
        assert found.tenant_id == "other"
        assert [record.task_id for record in await ledger.find(EffectFilter(None, task_id="task-2"), 10)] == ["task-2"]
        assert len(await ledger.find(EVERY, 2)) == 2

    # -- the call raised -------------------------------------------------------------------------------------------------------------

    async def test_a_refused_effect_failed_and_is_called_again(
        self, ledger: EffectLedger, first: RunEffects, later: Any, metrics: Metrics
    ) -> None:
        outside = Outside(fails=EffectRefused("the address is unknown"))
        with pytest.raises(EffectRefused, match="the address is unknown"):
            await first.once("mail", outside.call, input=MAIL)
        record = await only(ledger)
        assert (record.status, record.error) == (Status.FAILED, "EffectRefused: the address is unknown")
        outside.fails = None
        assert await (await later(2)).once("mail", outside.call, input=MAIL) == {"number": 1}
        assert (await only(ledger)).calls == 2
        assert (counted(metrics, "failed"), counted(metrics, "recorded"), counted(metrics, "repeated")) == (1, 1, 0)

    @pytest.mark.parametrize("error", [TimeoutError("no answer \0 \ud83d"), ConnectionResetError(), asyncio.CancelledError()])
    async def test_any_other_exception_leaves_it_interrupted(
        self, ledger: EffectLedger, first: RunEffects, later: Any, metrics: Metrics, error: BaseException
    ) -> None:
        with pytest.raises(type(error)):
            await first.once("mail", Outside(fails=error).call, input=MAIL)
        record = await only(ledger)
        assert record.status is Status.INTERRUPTED
        assert record.error is not None
        assert record.error.startswith(type(error).__name__)
        with pytest.raises(EffectNeedsPerson):
            await (await later(2)).once("mail", Outside().call, input=MAIL)
        assert (counted(metrics, "interrupted"), counted(metrics, "waiting")) == (1, 1)

    # -- interrupted, by rule --------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_repeat_calls_again_once_a_crash(
        self, ledger: EffectLedger, first: RunEffects, later: Any, metrics: Metrics, when: str
    ) -> None:
        outside = Outside()
        await crash(first, outside, when, Rule.REPEAT)
        done = outside.done
        second = await later(2)
        await second.once("mail", outside.call, input=MAIL, rule=Rule.REPEAT)
        await (await later(3)).once("mail", outside.call, input=MAIL, rule=Rule.REPEAT)
        record = await only(ledger)
        assert outside.done == done + 1
        assert (record.status, record.calls, record.input_text) == (Status.RECORDED, 2, None)
        assert (counted(metrics, "repeated"), counted(metrics, "recorded"), counted(metrics, "reused")) == (1, 1, 1)

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_probe_asks_the_other_side_and_calls_only_what_was_not_done(
        self, ledger: EffectLedger, first: RunEffects, later: Any, metrics: Metrics, when: str
    ) -> None:
        outside = Outside()

        async def ask() -> Any:
            return {"number": outside.done} if outside.done else NOT_DONE

        await crash(first, outside, when, Probe(ask))
        for number in (2, 3):
            assert await (await later(number)).once("mail", outside.call, input=MAIL, rule=Probe(ask)) == {"number": 1}
        record = await only(ledger)
        source, calls = ("call", 2) if when == "before" else ("probe", 1)
        assert (outside.done, record.status, record.outcome_from, record.calls) == (1, Status.RECORDED, source, calls)
        assert (counted(metrics, "probed"), counted(metrics, "reused")) == (when == "after", 1)

    async def test_a_probe_may_find_nothing_as_the_outcome(self, first: RunEffects, later: Any) -> None:
        outside = Outside()
        await crash(first, outside, "after", Probe(answers(None)))
        assert await (await later(2)).once("mail", outside.call, input=MAIL, rule=Probe(answers(None))) is None
        assert outside.done == 1

    @pytest.mark.parametrize("error", [TimeoutError("no answer"), EffectRefused("the probe was not allowed")])
    async def test_a_probe_that_raises_leaves_it_interrupted_and_is_asked_again(
        self, ledger: EffectLedger, first: RunEffects, later: Any, error: Exception
    ) -> None:
        outside = Outside()
        await crash(first, outside, "after", Probe(answers(NOT_DONE)))
        with pytest.raises(type(error)):
            await (await later(2)).once("mail", outside.call, input=MAIL, rule=Probe(Outside(fails=error).call))
        assert (await only(ledger)).status is Status.INTERRUPTED
        assert await (await later(3)).once("mail", outside.call, input=MAIL, rule=Probe(answers("found"))) == "found"
        assert outside.done == 1

    async def test_the_rule_probe_needs_its_question(self, first: RunEffects) -> None:
        with pytest.raises(EffectInvalid, match=r"rule=Probe\(ask\)"):
            await first.once("mail", Outside().call, input=MAIL, rule=Rule.PROBE)

    @pytest.mark.parametrize("name", ["", "Mail", "1st", "a b", "m" * 65, "mail\n"])
    async def test_a_name_that_is_none_is_refused(self, first: RunEffects, name: str) -> None:
        with pytest.raises(EffectInvalid, match="An effect is named by"):
            await first.once(name, Outside().call, input=MAIL)

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_the_default_rule_leaves_it_to_a_person_in_every_attempt(
        self, ledger: EffectLedger, first: RunEffects, later: Any, when: str
    ) -> None:
        outside = Outside()
        await crash(first, outside, when)
        done = outside.done
        for number in (2, 3):
            with pytest.raises(EffectNeedsPerson, match="agentmesh effects settle eff-") as raised:
                await (await later(number)).once("mail", outside.call, input=MAIL)
        record = await only(ledger)
        assert outside.done == done
        assert (record.status, record.effect_id, record.calls) == (Status.WAITING, raised.value.effect_id, 1)
        assert [found.effect_id for found in await ledger.find(EffectFilter(), 10)] == [record.effect_id]

    async def test_the_rule_of_the_present_code_counts(self, first: RunEffects, later: Any) -> None:
        outside = Outside()
        await crash(first, outside, "after")
        with pytest.raises(EffectNeedsPerson):
            await (await later(2)).once("mail", outside.call, input=MAIL)
        assert await (await later(3)).once("mail", outside.call, input=MAIL, rule=Probe(answers("found"))) == "found"

    # -- a person ----------------------------------------------------------------------------------------------------------------------

    async def test_a_persons_outcome_is_the_outcome(self, ledger: EffectLedger, first: RunEffects, later: Any) -> None:
        outside = Outside()
        await crash(first, outside, "after")
        second = await later(2)
        with pytest.raises(EffectNeedsPerson):
            await second.once("mail", outside.call, input=MAIL)
        effect_id = (await only(ledger)).effect_id
        assert await ledger.settle(effect_id, '"sent"', "ann", "seen in the mail server's log")
        assert await (await later(3)).once("mail", outside.call, input=MAIL) == "sent"
        record = await only(ledger)
        (word,) = record.settlements
        assert (word.who, word.why, word.done) == ("ann", "seen in the mail server's log", True)
        assert (record.outcome_from, outside.done) == ("person", 1)
        assert await ledger.find(EffectFilter(), 10) == []

    async def test_a_persons_not_done_lets_the_next_attempt_make_it_and_is_remembered(
        self, ledger: EffectLedger, first: RunEffects, later: Any
    ) -> None:
        outside = Outside()
        await crash(first, outside, "before")
        second = await later(2)
        effect_id = (await only(ledger)).effect_id
        assert await ledger.settle(effect_id, None, "ann", "no mail went out")
        assert await second.once("mail", outside.call, input=MAIL) == {"number": 1}
        record = await only(ledger)
        assert [(word.who, word.done) for word in record.settlements] == [("ann", False)]
        assert (record.status, record.outcome_from, record.calls) == (Status.RECORDED, "call", 2)

    async def test_nothing_is_settled_twice_nor_while_a_live_run_is_at_it(
        self, ledger: EffectLedger, first: RunEffects, runs: Runs
    ) -> None:
        await crash(first, Outside(), "after")
        effect_id = (await only(ledger)).effect_id
        assert not await ledger.settle(effect_id, "1", "ann", "too early: the lease of the run is live")
        assert (await only(ledger)).status is Status.INTENDED
        await runs.end("task-1", 1)
        assert (await only(ledger)).status is Status.INTERRUPTED
        assert await ledger.settle(effect_id, "null", "ann", "seen")
        assert not await ledger.settle(effect_id, "2", "bob", "seen too")
        assert not await ledger.settle(effect_id, None, "bob", "not seen")
        assert not await ledger.settle("eff-unknown", "1", "bob", "what")
        record = await only(ledger)
        assert (record.outcome, [word.who for word in record.settlements]) == ("null", ["ann"])

    async def test_two_people_at_once_settle_it_once(self, ledger: EffectLedger, first: RunEffects, runs: Runs) -> None:
        await crash(first, Outside(), "after")
        await runs.end("task-1", 1)
        effect_id = (await only(ledger)).effect_id
        settled = await asyncio.gather(*(ledger.settle(effect_id, str(number), f"person-{number}", "seen") for number in range(4)))
        assert sorted(settled) == [False, False, False, True]
        assert (await only(ledger)).outcome == str(settled.index(True))
