"""What is seen of a run from outside: its span under the assignment's trace, its metrics on every outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from contracts.ids import AgentId, TaskId, TenantId
from contracts.requests.values import Priority
from contracts.tasks.values import TaskOutcome
from infra.agents.base import Agent, Task, TaskContext, TaskFailed
from infra.agents.observed import ObservedAttempt
from infra.agents.outside import Outside
from infra.agents.run import TenantMemory, context_of
from infra.effects.base import RunClaim
from infra.effects.memory import InMemoryEffectLedger
from infra.effects.once import HostEffects
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.memory import InMemoryKnowledgeBase
from infra.models.openai_compatible import OpenAICompatibleModel
from infra.models.settings import ModelEndpoint as Endpoint
from infra.telemetry.telemetry import Telemetry
from infra.telemetry.tracing import Tracing
from services.support_agents.agents import TriageAgent
from tests.model_endpoint import failing, model_endpoint, structured

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
MESSAGE = "My invoice of May is wrong"


class Moody(Agent):
    """Ends as its input says."""

    kind: ClassVar[str] = "moody"
    capabilities: ClassVar[Mapping[str, int]] = {"moods": 1}

    async def handle(self, task: Task, context: TaskContext) -> Any:
        """One mood a task."""
        mood = task.input["mood"]
        if mood == "failing":
            raise TaskFailed("out of order")
        if mood == "hanging":
            await asyncio.sleep(60)
        return {"mood": mood}


class Watched:
    """One process' telemetry, and runs in it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.telemetry = Telemetry.for_tests(Tracing.to_exporter(self.exporter))

    async def run(
        self, agent: Agent, given: Mapping[str, Any], traceparent: str | None = SAMPLED, outside: Outside | None = None, seconds: float = 10
    ) -> None:
        task = Task(
            TaskId("task-1"), TenantId("acme"), AgentId("agent-1"), "moods", "req-1", 1, Priority.MEDIUM,
            datetime.now(UTC) + timedelta(seconds=seconds), given,
        )  # fmt: skip
        memory = TenantMemory(InMemoryKnowledgeBase(LocalEmbedding()), "acme")
        effects = HostEffects(InMemoryEffectLedger()).of_run(RunClaim("acme", "task-1", 1, "host-1"))
        metrics = self.telemetry.metrics
        context = context_of(task, memory, effects, rules=agent.rules, outside=outside or Outside(), metrics=metrics)
        await ObservedAttempt(self.telemetry, "agentmesh.work.moody.v1", traceparent)(agent, task, context)

    def spans(self) -> list[Any]:
        self.telemetry.shutdown(5)
        return list(self.exporter.get_finished_spans())

    def sample(self, metric: str, **labels: str) -> float | None:
        return self.telemetry.metrics.registry.get_sample_value(metric, labels)


@pytest.fixture
def watched() -> Iterator[Watched]:
    one = Watched()
    yield one
    one.telemetry.shutdown(5)


async def test_a_run_has_a_span_of_its_task_type_under_the_assignments_trace(watched: Watched) -> None:
    await watched.run(Moody(), {"mood": "good"})
    (span,) = watched.spans()
    assert span.name == "moods"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert (span.attributes["agentmesh.task.id"], span.attributes["agentmesh.task.attempt"]) == ("task-1", 1)
    assert span.status.status_code is not StatusCode.ERROR


async def test_a_run_whose_trace_is_not_sampled_has_no_span(watched: Watched) -> None:
    await watched.run(Moody(), {"mood": "good"}, NOT_SAMPLED)
    assert watched.spans() == []


@pytest.mark.parametrize(
    ("mood", "status", "error_type"), [("good", "SUCCESS", None), ("failing", "FAILURE", "TaskFailed"), ("hanging", "TIMEOUT", "Timeout")]
)
async def test_every_outcome_is_timed_and_counted(watched: Watched, mood: str, status: str, error_type: str | None) -> None:
    await watched.run(Moody(), {"mood": mood}, seconds=0.2)
    assert watched.sample("agentmesh_task_execution_seconds_count", agent_id="agent-1", task_type="moods") == 1
    assert watched.sample("agent_execution_duration_seconds_count", agent_type="moody") == 1
    assert watched.sample("agentmesh_tasks_completed_total", agent_id="agent-1", status=status) == 1
    if error_type is not None:
        assert watched.sample("agent_execution_errors_total", agent_type="moody", error_type=error_type) == 1
    (span,) = watched.spans()
    assert span.attributes.get("error.type") == error_type


async def test_a_run_that_is_called_off_is_timed_and_counts_as_no_outcome(watched: Watched) -> None:
    run = asyncio.create_task(watched.run(Moody(), {"mood": "hanging"}))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert watched.sample("agent_execution_duration_seconds_count", agent_type="moody") == 1
    assert {watched.sample("agentmesh_tasks_completed_total", agent_id="agent-1", status=outcome.value) for outcome in TaskOutcome} == {0}


GOOD = {"category": "billing", "priority": 3, "confidence": 0.9, "reason": None}


async def test_a_models_spans_stand_below_the_runs_and_hold_no_content(watched: Watched) -> None:
    with model_endpoint() as server:
        server.script = [failing(500), structured(GOOD, (1_000, 100))]
        async with httpx2.AsyncClient() as client:
            model = OpenAICompatibleModel(Endpoint(server.url, "gpt-4o-mini"), watched.telemetry, client, "triage")
            await watched.run(TriageAgent(), {"message": MESSAGE}, outside=Outside(model))
    assert watched.sample("llm_tokens_used_total", model="gpt-4o-mini", operation="triage") == 1_100
    cost = watched.sample("agentmesh_llm_cost_usd_total", model="gpt-4o-mini", operation="triage")
    assert cost is not None
    assert 0 < cost < 0.01
    recorded = watched.spans()
    assert [span.name for span in recorded] == ["chat gpt-4o-mini", "invoke_agent triage", "moods"]  # each once, as they ended
    spans = {span.name: span for span in recorded}
    assert spans["chat gpt-4o-mini"].parent.span_id == spans["invoke_agent triage"].context.span_id
    assert spans["invoke_agent triage"].parent.span_id == spans["moods"].context.span_id
    chat = spans["chat gpt-4o-mini"].attributes
    assert (chat["gen_ai.operation.name"], chat["gen_ai.request.model"], chat["gen_ai.usage.input_tokens"]) == (
        "chat",
        "gpt-4o-mini",
        1_000,
    )
    assert "gen_ai.system" not in chat or "gen_ai.provider.name" in chat
    told = str([(dict(span.attributes), [dict(event.attributes) for event in span.events]) for span in spans.values()])
    assert MESSAGE not in told


async def test_without_a_recorded_run_a_model_makes_no_spans(watched: Watched) -> None:
    with model_endpoint() as server:
        server.then = structured(GOOD)
        async with httpx2.AsyncClient() as client:
            model = OpenAICompatibleModel(Endpoint(server.url, "gpt-4o-mini"), watched.telemetry, client, "triage")
            await watched.run(TriageAgent(), {"message": MESSAGE}, NOT_SAMPLED, outside=Outside(model))
    assert watched.spans() == []


async def test_a_question_that_takes_longer_than_the_task_may_is_left_and_the_attempt_times_out(watched: Watched) -> None:
    with model_endpoint() as server:
        server.then = lambda asked: replace(structured(GOOD)(asked), wait=5.0)
        async with httpx2.AsyncClient() as client:
            model = OpenAICompatibleModel(Endpoint(server.url, "gpt-4o-mini"), watched.telemetry, client, "triage")
            await watched.run(TriageAgent(), {"message": MESSAGE}, outside=Outside(model), seconds=0.5)
    assert watched.sample("agentmesh_tasks_completed_total", agent_id="agent-1", status="TIMEOUT") == 1
    assert watched.sample("agentmesh_circuit_state", name="model.triage") == 0
