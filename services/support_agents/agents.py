"""The built-in agents: triage, research and resolution of customer requests, by the rule-based model; run by agent hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from contracts.requests.values import Category, Priority
from contracts.tasks.values import ModelUsage
from infra.agents.base import Agent, Task, TaskContext
from services.support_agents import rules
from services.support_agents.finding import findings

PASSAGES = 8


def _known(task: Task) -> tuple[str, Category | None, Priority, Mapping[str, Any]]:
    """Message, category, priority and metadata of the request that a task is about."""
    given = task.input
    category = given.get("category")
    return (
        str(given.get("message", "")),
        None if category is None else Category(category),
        Priority(given.get("priority", Priority.MEDIUM)),
        given.get("metadata") or {},
    )


def _count(context: TaskContext) -> None:
    context.usage = ModelUsage(model=rules.MODEL_NAME, calls=1, input_tokens=0, output_tokens=0)


class TriageAgent(Agent):
    """What a request is about and how urgent it is."""

    kind: ClassVar[str] = "triage"
    capabilities: ClassVar[Mapping[str, int]] = {"triage": 3}
    concurrency: ClassVar[int] = 10

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Category, priority, confidence and reason."""
        message, category, priority, metadata = _known(task)
        found = rules.classify(message, category=category, priority=priority, metadata=metadata)
        _count(context)
        return {
            "category": found.category.value,
            "priority": int(found.priority),
            "confidence": found.confidence,
            "reason": found.reason[:2000] or None,
        }


class ResearchAgent(Agent):
    """What the tenant's knowledge base says about a request's subject."""

    kind: ClassVar[str] = "research"
    capabilities: ClassVar[Mapping[str, int]] = {"research": 3}
    concurrency: ClassVar[int] = 10

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """The request as it was given, the terms looked for, and what was found."""
        message, category, priority, metadata = _known(task)
        category = category or Category.GENERAL
        terms = rules.search_terms(message, category)
        found = findings(await context.memory.search(message, PASSAGES)) if message.strip() else []
        _count(context)
        return {
            "message": message,
            "category": category.value,
            "priority": int(priority),
            "metadata": dict(metadata),
            "search_terms": list(terms),
            "findings": [asdict(each) for each in found],
        }


class ResolutionAgent(Agent):
    """The answer to the customer."""

    kind: ClassVar[str] = "resolution"
    capabilities: ClassVar[Mapping[str, int]] = {"resolution": 3}
    concurrency: ClassVar[int] = 10

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """The text, how sure it is, and its sources."""
        message, category, _, _ = _known(task)
        found = [rules.Finding(**each) for each in task.input.get("findings", ())]
        answer = rules.answer(message, category or Category.GENERAL, found, None)
        _count(context)
        return {"resolution": answer.text, "confidence": answer.confidence, "sources": list(answer.sources)}
