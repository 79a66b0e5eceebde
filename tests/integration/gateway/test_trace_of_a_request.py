"""One request from the gateway to its answer: every worker of the fleet exports its spans over OTLP, and the spans that come tell the same
as the histories in the event store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from contracts.envelope import RecordedEvent
from contracts.requests.events import RequestApproved, ResearchStarted
from infra.agents.base import Agent, Task, TaskContext
from infra.runtime.agent_host import AgentHost
from infra.runtime.command_worker import CommandWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from infra.telemetry.traceparent import parse_traceparent
from infra.telemetry.tracing import Tracing
from services.agents.worker import build as build_agents
from services.dispatcher.worker import build as build_dispatcher
from services.relay.worker import RelayWorker
from services.requests.process import task_of
from services.requests.process_worker import build as build_process
from services.requests.worker import command_worker
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from services.tasks.worker import build as build_tasks
from tests.integration.agents.test_models_and_refunds import ANSWERS
from tests.integration.agents.test_workflow import register
from tests.integration.gateway.conftest import AT_ONCE, LIST, PATIENT, Caller, OpenCaller, bearer, body, serve
from tests.integration.gateway.following import PATH
from tests.mesh import Mesh, wait_for
from tests.model_endpoint import ModelEndpoint, Reply, model_endpoint, structured
from tests.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver, tree
from tests.trace_checker import Checker, name_of

pytestmark = pytest.mark.integration

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REFUND = {**ANSWERS, "category": {"category": "refund", "priority": 2, "confidence": 0.9, "reason": "Money is asked for."}}


def sensible(asked: dict[str, Any]) -> Reply:
    """The right answer to whichever of the three questions it is, told by the fields that are wanted."""
    wanted = str(asked["tools"])
    return structured(REFUND[next(name for name in ("search_terms", "sources", "category") if f"'{name}'" in wanted)], (100, 10))(asked)


class HaltingTriage(TriageAgent):
    """Fails at its first attempt, as one does whose server is away for a moment."""

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Raises once, then does what the real one does."""
        if task.attempt == 1:
            raise ConnectionError("the knowledge base is away")
        return await super().handle(task, context)


AGENTS: tuple[type[Agent], ...] = (HaltingTriage, ResearchAgent, ResolutionAgent)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as found:
        yield found


@pytest.fixture
def endpoint() -> Iterator[ModelEndpoint]:
    with model_endpoint() as server:
        server.then = sensible
        yield server


class Fleet:
    """Workers of one mesh, each with telemetry of its own, as processes have it."""

    def __init__(self, receiver: OtlpReceiver, ratio: float = 1.0) -> None:
        self._receiver = receiver
        self._ratio = ratio
        self._all: list[Telemetry] = []

    def telemetry(self, service: str) -> Telemetry:
        tracing = Tracing.start(
            f"agentmesh-{service}", version="1.0.0", environment="test", endpoint=self._receiver.url, sample_ratio=self._ratio
        )
        self._all.append(Telemetry.for_tests(tracing))
        return self._all[-1]

    async def start(self, mesh: Mesh) -> None:
        """All that carry a request to its answer, and an agent of each kind."""
        await self.start_requests(mesh)
        for name, build in (("tasks", build_tasks), ("agents", build_agents), ("process", build_process), ("dispatcher", build_dispatcher)):
            await mesh.start(build(mesh.settings, self.telemetry(name)))
        await mesh.start(*(AgentHost(agent(), mesh.settings, self.telemetry(f"agents.{agent.kind}")) for agent in AGENTS))
        for agent in AGENTS:
            await register(mesh, agent)

    async def start_requests(self, mesh: Mesh) -> CommandWorker:
        """What decides, relays and shows requests."""
        worker = command_worker(mesh.settings, self.telemetry("requests"))
        mesh.telemetry = self.telemetry("projections")
        await mesh.start(worker, RelayWorker(mesh.settings, self.telemetry("relay")), mesh.projection())
        mesh.telemetry = self.telemetry("gateway")
        return worker

    async def flush(self) -> None:
        """Export what is left."""
        await asyncio.gather(*(asyncio.to_thread(each.shutdown, 10) for each in self._all))


async def reached(mesh: Mesh, request_id: str, name: str) -> None:
    """Wait until a request has come as far as this event."""

    async def look() -> bool:
        return name in await mesh.stream(request_id)

    await wait_for(look, 60, f"{name} of {request_id}")


async def histories(mesh: Mesh, request_id: str) -> tuple[Sequence[RecordedEvent], dict[str, Sequence[RecordedEvent]]]:
    """The events of the request, and by type of task those of its tasks."""
    request = await mesh.store.read_stream(request_id)
    events = [each.event() for each in request]
    (researched,) = [event for event in events if isinstance(event, ResearchStarted)]
    (approved,) = [event for event in events if isinstance(event, RequestApproved)]
    assert researched.task_id is not None
    ids = {"triage": task_of(request_id, "triage"), "research": researched.task_id, "resolution": approved.task_id}
    tasks = mesh.store_of("tasks")
    return request, {name: await tasks.read_stream(task_id) for name, task_id in ids.items()}


async def test_the_spans_of_a_request_tell_the_same_as_its_history(
    mesh_settings: MeshSettings,
    open_caller: OpenCaller,
    receiver: OtlpReceiver,
    endpoint: ModelEndpoint,
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.monotonic()
    model = {"model_url": endpoint.url, "model_name": "gpt-4o-mini", "model_key": SecretStr("sk-test"), "model_timeout_seconds": 5.0}
    fleet = Fleet(receiver)
    async with Mesh(mesh_settings.model_copy(update=model)) as mesh:
        await fleet.start(mesh)
        call = await open_caller((await serve(mesh))._own.url)
        request_id = await created(call)
        await reached(mesh, request_id, "ApprovalRequested")
        await mesh.read_model_at(request_id, len(await mesh.stream(request_id)))
        decided = await call("POST", f"{LIST}/{request_id}/approve", "manager", json={"approved": True}, headers=PATIENT)
        assert decided.status_code == 200, decided.text
        await reached(mesh, request_id, "RequestCompleted")
        request, tasks = await histories(mesh, request_id)
    await fleet.flush()
    spans, seconds = receiver.spans(), time.monotonic() - began

    assert [name_of(event) for event in tasks["triage"]].count("TaskAssigned") == 2, "an attempt failed, and another one followed"
    assert Checker(spans, seconds=seconds).faults(request, tasks) == []
    traces = list(dict.fromkeys(span_of(event, spans).trace_id for event in request))
    assert len(traces) == 2, "one of the request, one of the call that approved it"
    shown = "\n\n".join(tree(spans, trace) for trace in traces)
    with capsys.disabled():
        print(f"\n\n{shown}\n")
    for line in ("POST /api/v1/requests [", "POST /api/v1/requests/{request_id}/approve [", "invoke_agent triage [", "chat gpt-4o-mini ["):
        assert line in shown
    runs = {span.span_id: span for span in spans if span.name == "triage" and not span.error}
    assert [span.attributes["gen_ai.request.model"] for span in runs.values()] == ["gpt-4o-mini"]
    assert any(span.name == "invoke_agent triage" and span.parent_id in runs for span in spans), "the model's spans stand below the run's"
    check_servers_spans(spans, traces[0])
    check_planted_faults(spans, seconds, request, tasks)


async def created(call: Caller) -> str:
    """A request that needs a person."""
    asked = body(message="Please refund my order.", category=None, metadata={"amount": "1500.00", "order_id": "ORD-1"})
    answer = await call("POST", LIST, "agent", json=asked, headers=PATIENT)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["request_id"])


def span_of(event: RecordedEvent, spans: Sequence[ReceivedSpan]) -> ReceivedSpan:
    """The span behind an event."""
    assert event.metadata.traceparent is not None
    return next(span for span in spans if span.span_id == event.metadata.traceparent.split("-")[2])


def check_servers_spans(spans: Sequence[ReceivedSpan], trace: str) -> None:
    """Postgres and Redis are seen where a call or a run used them, by stable names, and statements without their parameters."""
    systems = {span.attributes.get("db.system.name") for span in spans if span.trace_id == trace}
    assert {"postgresql", "redis"} <= systems
    of_postgres = [span for span in spans if span.attributes.get("db.system.name") == "postgresql"]
    batches = [span for span in of_postgres if span.name == "BATCH"]
    assert batches
    assert {span.attributes["db.operation.batch.size"] for span in batches} >= {2}
    assert all(span.attributes["db.namespace"] for span in of_postgres)
    assert {span.attributes["db.operation.name"] for span in of_postgres} >= {"BATCH", "SELECT"}
    assert all(span.attributes["db.operation.name"].isalpha() for span in of_postgres)
    assert "ORD-1" not in str([dict(span.attributes) for span in spans])


def check_planted_faults(
    spans: Sequence[ReceivedSpan], seconds: float, request: Sequence[RecordedEvent], tasks: Mapping[str, Sequence[RecordedEvent]]
) -> None:
    """The checker finds what is wrong with a trace: a span taken away, a parent changed, a link lost, a span of a month, an old name."""

    def faults(changed: Sequence[ReceivedSpan]) -> str:
        return "; ".join(Checker(changed, seconds=seconds).faults(request, tasks))

    def changed(span: ReceivedSpan, **fields: Any) -> list[ReceivedSpan]:
        return [replace(each, **fields) if each is span else each for each in spans]

    behind = [span_of(event, spans) for stream in (request, *tasks.values()) for event in stream]
    for span in {each.span_id: each for each in behind}.values():
        assert "never came" in faults([each for each in spans if each is not span])
    root = span_of(request[0], spans)
    for stream in tasks.values():
        assigned = span_of(stream[1], spans)
        assert "does not stand below" in faults(changed(assigned, parent_id=root.span_id))
    run = next(span for span in spans if span.name == "research")
    assert "is an orphan" in faults(changed(run, parent_id="0123456789abcdef"))
    assert "does not hang on its assignment" in faults(changed(run, parent_id=root.span_id))
    assert "has 0 spans of attempts" in faults([each for each in spans if each is not run])
    approved = span_of(next(event for event in request if name_of(event) == "RequestApproved"), spans)
    assert "is not linked" in faults(changed(approved, links=()))
    assert "longer than the test" in faults(changed(run, ended=run.began + 30 * 86_400))
    assert "have replaced" in faults(changed(run, attributes={**run.attributes, "messaging.kafka.consumer.group": "g"}))
    assert "came twice" in faults([*spans, run])


async def test_a_callers_trace_is_gone_on_with_and_one_that_is_not_sampled_costs_no_span(
    mesh_settings: MeshSettings, open_caller: OpenCaller, receiver: OtlpReceiver
) -> None:
    fleet = Fleet(receiver, ratio=0.0)  # what is recorded is what callers ask for
    async with Mesh(mesh_settings) as mesh:
        await fleet.start_requests(mesh)
        call = await open_caller((await serve(mesh))._own.url)
        sampled = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        quiet = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00"}
        answer = await call("POST", LIST, json=body(), headers={**PATIENT, **sampled})
        seen = answer.json()["request_id"]
        unseen = (await call("POST", LIST, json=body(), headers={**PATIENT, **quiet})).json()["request_id"]
        alone = (await call("POST", LIST, json=body(), headers=PATIENT)).json()["request_id"]
        # Somebody whose own call is not sampled changes what is: the change is recorded, in a trace of its own.
        assert (await call("PATCH", f"{LIST}/{seen}", json={"priority": 3}, headers={**PATIENT, **quiet})).status_code == 200
        problem = {"Accept": "application/problem+json"}
        missing = await call("GET", f"{LIST}/req-nobody?min_position=requests:1", headers={**problem, **sampled})
        refused = await call("POST", LIST, json={"customer_id": 1}, headers={**problem, **quiet, **AT_ONCE})
        await read_stream(call.client, sampled)
        streams = {each: list(await mesh.store.read_stream(each)) for each in (seen, unseen, alone)}
    await fleet.flush()
    spans = receiver.spans()

    assert missing.json()["trace_id"] == TRACE
    assert refused.json()["trace_id"] == "1" * 32
    roots = [span for span in spans if span.parent_id == PARENT]
    assert sorted(span.name for span in roots) == [
        "GET /api/v1/events",
        "GET /api/v1/requests/{request_id}",
        "POST /api/v1/requests",
    ]
    posted = next(span for span in roots if span.name.startswith("POST"))
    first = span_of(streams[seen][0], spans)
    assert (first.trace_id, first.parent_id, first.service) == (TRACE, posted.span_id, "agentmesh-requests")
    told = next(span for span in roots if span.name.endswith("{request_id}"))
    assert (told.attributes["http.route"], told.attributes["url.query"]) == ("/api/v1/requests/{request_id}", "min_position=?")
    (streaming,) = [span for span in roots if span.name == "GET /api/v1/events"]
    assert streaming.seconds < 1.5, "the span of a stream ends when the stream begins"

    changed = span_of(streams[seen][1], spans)
    assert changed.trace_id not in (TRACE, "1" * 32)
    assert (changed.parent_id, changed.links) == ("", ((TRACE, first.span_id),))
    assert {span.trace_id for span in spans} == {TRACE, changed.trace_id}
    (quietly,) = [parse_traceparent(event.metadata.traceparent) for event in streams[unseen]]
    assert quietly is not None
    assert (quietly.trace_id, quietly.sampled) == ("1" * 32, False)
    (by_itself,) = [parse_traceparent(event.metadata.traceparent) for event in streams[alone]]
    assert by_itself is not None
    assert not by_itself.sampled, "the gateway decided once, for every step"


async def read_stream(client: httpx2.AsyncClient, headers: Mapping[str, str]) -> None:
    """Read an event stream for a while, and something of it."""
    async with asyncio.timeout(30), client.stream("GET", f"{PATH}?from=beginning", headers={**bearer("admin"), **headers}) as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_raw()
        assert await anext(pieces)
        await asyncio.sleep(2)
