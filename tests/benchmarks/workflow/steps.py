"""The three steps as plain functions, for the peers: the rules, the embedding and the SQL of the built-in agents, without the mesh."""

from __future__ import annotations

import os
import threading
from dataclasses import asdict
from typing import Any

import psycopg

from contracts.requests.values import Category
from infra.knowledge.base import Passage
from infra.knowledge.local_embedding import NAME, embed_text
from infra.knowledge.postgres import EXACT_BELOW, as_vector
from infra.postgres.sql_files import read_sql
from services.support_agents import rules
from services.support_agents.agents import PASSAGES
from services.support_agents.answer import Finding, letter
from services.support_agents.finding import findings
from services.support_agents.questions import Known, Researched
from tests.benchmarks.workflow.cases import TENANT

_SEARCH = read_sql("infra.knowledge.sql", "search.sql")
_local = threading.local()


def classify(message: str, category: str) -> dict[str, Any]:
    """What triage does."""
    found = rules.triage(Known(message=message, category=Category(category)))
    return {"message": message, **found.model_dump(mode="json")}


def search(known: dict[str, Any]) -> dict[str, Any]:
    """What research does: one query to the knowledge base in Postgres."""
    plan = rules.search_plan(Known(message=known["message"], category=known["category"]))
    found = findings(_search(plan.query))
    return {**known, "search_terms": list(plan.search_terms), "findings": [asdict(each) for each in found]}


def answer(known: dict[str, Any]) -> dict[str, Any]:
    """What resolution does."""
    found = tuple(Finding(**each) for each in known["findings"])
    category = Category(known["category"])
    drafted = rules.draft(Researched(message=known["message"], category=category, findings=found))
    text = letter(known["message"], category, drafted.text, None)
    return {"resolution": text, "confidence": drafted.confidence, "sources": list(drafted.sources)}


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
