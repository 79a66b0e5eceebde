"""What the peers of the workflow benchmark do is what the built-in agents do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.agents.testkit import handled
from infra.knowledge.base import Document, Passage
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from tests.benchmarks.workflow import steps
from tests.benchmarks.workflow.cases import CASES, Case

ARTICLES = [Document("invoices", "Invoices", "You find each invoice as a PDF under Settings, Billing.", "invoices.md")]


@pytest.mark.parametrize("case", CASES[:5])
async def test_the_steps_answer_what_the_agents_answer(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"message": case.message, "category": case.category}
    triaged = steps.classify(*case)
    by_agent: Any = (await handled(TriageAgent(), known)).result
    assert {name: triaged[name] for name in by_agent} == json.loads(json.dumps(dict(by_agent)))
    assert triaged["category"] == case.category
    assert triaged["confidence"] >= 0.6, "a person would have to look"
    researched: Any = (await handled(ResearchAgent(), known, documents=ARTICLES)).result
    passages = [Passage("invoices", 0, each["title"], each["text"], each["source"], 0.5) for each in researched["findings"]]
    monkeypatch.setattr(steps, "_search", lambda _: passages)
    found = steps.search(triaged)
    assert found["search_terms"] == list(researched["search_terms"])
    answered: Any = (await handled(ResolutionAgent(), {**known, "findings": found["findings"]})).result
    assert steps.answer(found) == json.loads(json.dumps(dict(answered)))
