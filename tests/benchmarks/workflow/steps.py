"""The three steps as plain functions, for the peers: the rules, the embedding and the SQL of the built-in agents, without the mesh."""

from __future__ import annotations

import os
import threading
from dataclasses import asdict
from typing import Any

import psycopg

from contracts.requests.values import Category, Priority
from infra.knowledge.base import Passage
from infra.knowledge.local_embedding import NAME, embed_text
from infra.knowledge.postgres import EXACT_BELOW, as_vector
from infra.postgres.sql_files import read_sql
from services.support_agents import rules
from services.support_agents.agents import PASSAGES
from services.support_agents.finding import findings
from tests.benchmarks.workflow.cases import TENANT

_SEARCH = read_sql("infra.knowledge.sql", "search.sql")
_local = threading.local()


def classify(message: str, category: str) -> dict[str, Any]:
    """What triage does."""
    found = rules.classify(message, category=Category(category), priority=Priority.MEDIUM, metadata={})
    return {"message": message, "category": found.category.value, "priority": int(found.priority), "confidence": found.confidence}


def search(known: dict[str, Any]) -> dict[str, Any]:
    """What research does: one query to the knowledge base in Postgres."""
    message, category = known["message"], Category(known["category"])
    found = findings(_search(message))
    terms = list(rules.search_terms(message, category))
    return {**known, "search_terms": terms, "findings": [asdict(each) for each in found]}


def answer(known: dict[str, Any]) -> dict[str, Any]:
    """What resolution does."""
    found = [rules.Finding(**each) for each in known["findings"]]
    said = rules.answer(known["message"], Category(known["category"]), found, None)
    return {"resolution": said.text, "confidence": said.confidence, "sources": list(said.sources)}


def _search(message: str) -> list[Passage]:
    parameters = {
        "tenant": TENANT,
        "vector": as_vector(embed_text(message)),
        "embedding": NAME,
        "limit": PASSAGES,
        "exact_below": EXACT_BELOW,
    }
    rows = _connection().execute(_SEARCH, parameters, prepare=True).fetchall()
    return [Passage._make((*row[:5], min(1.0, row[5]))) for row in rows]


def _connection() -> psycopg.Connection[Any]:
    """A connection of this thread's own."""
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    made: psycopg.Connection[Any] = _local.connection
    return made
