"""The built-in agents: triage, research and resolution of customer requests, by a model or by rules; run by agent hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from contracts.requests.values import Category
from infra.agents.base import Agent, Task, TaskContext
from infra.models.base import RuleFunction
from services.support_agents import questions, rules
from services.support_agents.answer import Finding, Refund, letter
from services.support_agents.finding import findings
from services.support_agents.refund import carry_out

PASSAGES = 8


class TriageAgent(Agent):
    """What a request is about and how urgent it is."""

    kind: ClassVar[str] = "triage"
    capabilities: ClassVar[Mapping[str, int]] = {"triage": 3}
    concurrency: ClassVar[int] = 10
    rules: ClassVar[Mapping[str, RuleFunction]] = {questions.TRIAGE: rules.triage}

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Category, priority, confidence and reason."""
        answer = await context.model.run(
            questions.TRIAGE,
            instructions=questions.TRIAGE_INSTRUCTIONS,
            prompt=questions.known(task.input),
            output_type=questions.Triage,
        )
        return answer.model_dump(mode="json")


class ResearchAgent(Agent):
    """What the tenant's knowledge base says about a request's subject."""

    kind: ClassVar[str] = "research"
    capabilities: ClassVar[Mapping[str, int]] = {"research": 3}
    concurrency: ClassVar[int] = 10
    rules: ClassVar[Mapping[str, RuleFunction]] = {questions.RESEARCH: rules.search_plan}

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """The request as it was given, the terms looked for, and what was found."""
        known = questions.known(task.input)
        plan = await context.model.run(
            questions.RESEARCH, instructions=questions.RESEARCH_INSTRUCTIONS, prompt=known, output_type=questions.SearchPlan
        )
        found = findings(await context.memory.search(plan.query, PASSAGES)) if plan.query.strip() else []
        return {
            "message": known.message,
            "category": (known.category or Category.GENERAL).value,
            "priority": int(known.priority),
            "metadata": dict(known.metadata),
            "search_terms": list(plan.search_terms),
            "findings": [asdict(each) for each in found],
        }


class ResolutionAgent(Agent):
    """The answer to the customer, and the refund that was approved."""

    kind: ClassVar[str] = "resolution"
    capabilities: ClassVar[Mapping[str, int]] = {"resolution": 3}
    concurrency: ClassVar[int] = 10
    rules: ClassVar[Mapping[str, RuleFunction]] = {questions.RESOLUTION: rules.draft}

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """The text, how sure it is, its sources, and what became of the refund.

        The money moves last: a model that fails then has paid nothing, and the text says what did happen.
        """
        found = tuple(Finding(**each) for each in _findings(task.input))
        known = questions.Researched(**dict(questions.known(task.input)), findings=found)
        draft = await context.model.run(
            questions.RESOLUTION, instructions=questions.RESOLUTION_INSTRUCTIONS, prompt=known, output_type=questions.Draft
        )
        refund = await carry_out(task, context)
        text = letter(known.message, known.category or Category.GENERAL, draft.text, refund)
        quotable = {each.source for each in found}
        result = {
            "resolution": text,
            "confidence": draft.confidence,
            # A source that nobody found is none.
            "sources": [source for source in dict.fromkeys(draft.sources) if source in quotable],
        }
        return result if refund is None else {**result, "refund": _told(refund)}


def _findings(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What research found: a list, or the research's whole result under the name `findings`."""
    found = given.get("findings") or ()
    return list(found.get("findings", ()) if isinstance(found, Mapping) else found)


def _told(refund: Refund) -> dict[str, Any]:
    amount = {"amount": f"{refund.amount.amount:f}", "currency": refund.amount.currency}
    status = "by_staff" if refund.payment_id is None else "paid"
    return {**amount, "status": status, "payment_id": refund.payment_id}
