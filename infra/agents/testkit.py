"""The test kit for agents: given a task, when it is handled, then its result and its effects; no broker, no database.

done = await handled(Greeter(), {"name": "Ann"})
assert done.result == {"text": "Good day, Ann!"}

A model is scripted by `model=ScriptedModel({"greet": {"text": "Hello"}})`, a payment service by `payments=InMemoryPayments()`. Without them
the agent works as a fleet does where neither is configured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from contracts.ids import AgentId, TaskId, TenantId
from contracts.requests.values import Priority
from contracts.tasks.commands import CompleteTask, FailTask, TaskCommand
from infra.agents.base import Agent, Task
from infra.agents.outside import Outside
from infra.agents.run import TenantMemory, attempt, context_of
from infra.effects.base import EffectFilter, EffectRecord, RunClaim
from infra.effects.memory import InMemoryEffectLedger, InMemoryRuns
from infra.effects.once import HostEffects
from infra.knowledge.base import Document
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.memory import InMemoryKnowledgeBase
from infra.models.base import LanguageModel
from infra.payments.base import Payments

TENANT = TenantId("test-tenant")
HOST = "test-host"
MOST_EFFECTS = 1_000


class Handled(NamedTuple):
    """How an attempt ended: the command that the host would publish, and the effects that were recorded."""

    command: TaskCommand
    effects: list[EffectRecord]

    @property
    def result(self) -> Mapping[str, Any]:
        """The result; AssertionError tells why there is none."""
        assert isinstance(self.command, CompleteTask), f"the attempt ended with {self.command!r}"
        return self.command.result

    @property
    def failure(self) -> FailTask:
        """The failure; AssertionError where there was none."""
        assert isinstance(self.command, FailTask), f"the attempt ended with {self.command!r}"
        return self.command


async def handled(
    agent: Agent,
    given: Mapping[str, Any],
    *,
    task_type: str = "",
    attempt_number: int = 1,
    seconds: float = 10.0,
    documents: Iterable[Document] = (),
    ledger: InMemoryEffectLedger | None = None,
    runs: InMemoryRuns | None = None,
    model: LanguageModel | None = None,
    payments: Payments | None = None,
    task_id: str = "task-under-test",
    subject_id: str = "subject-under-test",
) -> Handled:
    """Let an agent handle one task. Pass the same `runs` and `ledger` again for a later attempt of the same task."""
    runs = runs or InMemoryRuns()
    ledger = ledger or InMemoryEffectLedger(runs)
    task = Task(
        task_id=TaskId(task_id),
        tenant_id=TENANT,
        agent_id=AgentId("agent-under-test"),
        task_type=task_type or agent.kind,
        subject_id=subject_id,
        attempt=attempt_number,
        priority=Priority.MEDIUM,
        deadline_at=datetime.now(UTC) + timedelta(seconds=seconds),
        input=given,
    )
    runs.claim(task.task_id, attempt_number, HOST)
    knowledge = InMemoryKnowledgeBase(LocalEmbedding())
    await knowledge.add(TENANT, documents)
    effects = HostEffects(ledger).of_run(RunClaim(TENANT, task.task_id, attempt_number, HOST))
    memory, outside = TenantMemory(knowledge, TENANT), Outside(model, payments)
    command = await attempt(agent, task, context_of(task, memory, effects, rules=agent.rules, outside=outside))
    return Handled(command, await ledger.find(EffectFilter(statuses=None), MOST_EFFECTS))
