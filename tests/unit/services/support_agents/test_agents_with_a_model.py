"""The built-in agents where a model is configured: its answers are values or failures, and are asked for once over all attempts."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.requests.commands import CompleteRequest, TriageRequest
from contracts.tasks.commands import CompleteTask
from infra.agents.testkit import TENANT, Handled, handled
from infra.effects.memory import InMemoryEffectLedger, InMemoryRuns
from infra.models.base import ModelLimitExceeded, ModelRefused, ModelUnavailable
from infra.models.scripted import ScriptedModel
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent

GIVEN = {"message": "My invoice of May is wrong", "category": "account", "priority": 2, "metadata": {"order_id": "o-7"}}
GOOD = {"category": "billing", "priority": 3, "confidence": 0.9, "reason": "An invoice is disputed."}
FINDING = {"title": "Invoices", "text": "Invoices can be corrected.", "score": 0.9, "source": "kb/invoices"}
DRAFT = {"text": "We correct it.", "confidence": 0.8, "sources": ["kb/invoices", "kb/invented"]}


def used(done: Handled) -> Any:
    return done.command.usage  # type: ignore[union-attr]


async def test_triage_takes_the_models_word_and_tells_what_it_used() -> None:
    model = ScriptedModel({"triage": GOOD})
    done = await handled(TriageAgent(), GIVEN, model=model)
    assert done.result == GOOD
    TriageRequest.model_validate({"tenant_id": TENANT, "request_id": "req-1", **done.result})
    assert (used(done).model, used(done).calls, used(done).input_tokens) == ("scripted", 1, 10)
    assert "My invoice of May is wrong" in model.asked[0].text


@pytest.mark.parametrize(
    "nonsense",
    [
        {**GOOD, "category": "weather"},
        {**GOOD, "priority": 9},
        {**GOOD, "priority": "high"},
        {**GOOD, "confidence": 1.5},
        {**GOOD, "mood": "good"},
        {**GOOD, "category": "refund", "priority": 1},
        {**GOOD, "reason": "a\x00b"},
        {"category": "billing"},
        "billing",
    ],
)
async def test_a_model_that_answers_nonsense_fails_the_attempt_by_that_name(nonsense: Any) -> None:
    failure = (await handled(TriageAgent(), GIVEN, model=ScriptedModel({"triage": nonsense}))).failure
    assert (failure.error_type, failure.final) == ("ModelNonsense", False)
    assert failure.usage is not None
    assert failure.usage.calls == 1


@pytest.mark.parametrize(
    ("error", "final"), [(ModelUnavailable("away"), False), (ModelRefused("a wrong key"), True), (ModelLimitExceeded("too much"), True)]
)
async def test_a_model_that_gives_no_answer_fails_the_attempt_by_its_error(error: Exception, final: bool) -> None:
    failure = (await handled(TriageAgent(), GIVEN, model=ScriptedModel({"triage": error}))).failure
    assert (failure.error_type, failure.reason, failure.final) == (type(error).__name__, str(error), final)


async def test_research_looks_for_what_the_model_says() -> None:
    plan = {"query": "wrong invoice correction", "search_terms": ["invoice", "correction"]}
    done = await handled(ResearchAgent(), GIVEN, model=ScriptedModel({"research": plan}))
    assert list(done.result["search_terms"]) == ["invoice", "correction"]
    assert not done.result["findings"]


async def test_resolution_quotes_only_what_was_found_and_closes_itself() -> None:
    done = await handled(ResolutionAgent(), {**GIVEN, "findings": [FINDING]}, model=ScriptedModel({"resolution": DRAFT}))
    assert list(done.result["sources"]) == ["kb/invoices"]
    assert done.result["resolution"].startswith("We correct it.\n\nThis answer was put together automatically.")
    CompleteRequest.model_validate({"tenant_id": TENANT, "request_id": "req-1", "resolution": done.result["resolution"]})


async def test_what_was_answered_is_used_again_by_the_next_attempt_and_costs_nothing() -> None:
    runs = InMemoryRuns()
    ledger, model = InMemoryEffectLedger(runs), ScriptedModel({"triage": GOOD})
    first = await handled(TriageAgent(), GIVEN, model=model, ledger=ledger, runs=runs)
    second = await handled(TriageAgent(), GIVEN, model=model, ledger=ledger, runs=runs, attempt_number=2)
    assert first.result == second.result
    assert len(model.asked) == 1
    assert (used(second).model, used(second).calls, used(second).input_tokens, used(second).cost) == ("scripted", 0, 0, 0)


async def test_an_interrupted_question_is_asked_again_and_counted() -> None:
    runs = InMemoryRuns()
    ledger, model = InMemoryEffectLedger(runs), ScriptedModel({"triage": [ModelUnavailable("away"), GOOD]})
    failed = await handled(TriageAgent(), GIVEN, model=model, ledger=ledger, runs=runs)
    assert failed.failure.error_type == "ModelUnavailable"
    done = await handled(TriageAgent(), GIVEN, model=model, ledger=ledger, runs=runs, attempt_number=2)
    assert isinstance(done.command, CompleteTask)
    (effect,) = done.effects
    assert (effect.name, effect.calls, effect.input_text) == ("model", 2, None)


async def test_another_message_is_another_question() -> None:
    runs = InMemoryRuns()
    ledger, model = InMemoryEffectLedger(runs), ScriptedModel({"triage": GOOD})
    await handled(TriageAgent(), GIVEN, model=model, ledger=ledger, runs=runs)
    await handled(TriageAgent(), {**GIVEN, "message": "Another"}, model=model, ledger=ledger, runs=runs, attempt_number=2)
    assert len(model.asked) == 2


async def test_by_rules_nothing_is_written_into_the_ledger() -> None:
    done = await handled(TriageAgent(), GIVEN)
    assert done.effects == []
    assert (used(done).model, used(done).calls) == ("rule-based", 1)
