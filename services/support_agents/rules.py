"""The rule-based model, which needs no key: classifies, plans searches and drafts answers by rules alone; agents give it to their model."""

from __future__ import annotations

from contracts.requests.values import Category
from services.support_agents import answer
from services.support_agents.classify import classify
from services.support_agents.questions import MAX_DRAFT, Draft, Known, Researched, SearchPlan, Triage
from services.support_agents.search import search_terms

MAX_REASON = 2_000


def triage(known: Known) -> Triage:
    """What a request is about, by the phrases in it."""
    found = classify(known.message, category=known.category, priority=known.priority, metadata=known.metadata)
    return Triage(category=found.category, priority=found.priority, confidence=found.confidence, reason=found.reason[:MAX_REASON] or None)


def search_plan(known: Known) -> SearchPlan:
    """The message itself is what the local embedding compares best."""
    return SearchPlan(query=known.message, search_terms=search_terms(known.message, known.category or Category.GENERAL))


def draft(known: Researched) -> Draft:
    """An answer of fixed sentences and findings."""
    drafted = answer.draft(known.message, known.category or Category.GENERAL, known.findings)
    return Draft(text=drafted.text[:MAX_DRAFT], confidence=drafted.confidence, sources=drafted.sources)
