"""The rule-based model, which needs no key: the functions that agents call to classify, research and answer by rules alone."""

from __future__ import annotations

from services.support_agents.answer import Answer, Finding, answer
from services.support_agents.classify import Classification, classify
from services.support_agents.search import search_terms

MODEL_NAME = "rule-based"
"""How the model is named wherever a decision says who made it."""

__all__ = ["MODEL_NAME", "Answer", "Classification", "Finding", "answer", "classify", "search_terms"]
