"""What is for agent hosts also goes to the work topic of its kind, under the agent's id; and which work topics a page needs."""

from typing import Any

import pytest

from contracts.agents.events import EVENTS as AGENT_EVENTS
from contracts.agents.events import AgentCreated, AgentSuspended
from contracts.envelope import Metadata, encode_stored
from contracts.message import Event
from contracts.rejections import CommandRejected, rejected_type
from contracts.schema_export import EXAMPLES
from contracts.tasks.events import EVENTS as TASK_EVENTS
from contracts.tasks.events import TaskAssigned, TaskCancelled, TaskCompleted, TaskQueued, TaskReassigned, TaskTimedOut
from contracts.topics import WORK_EVENTS
from infra.event_store.base import DeadLetter, LogEntry, SourceRecord
from infra.kafka.producer import OutgoingRecord
from infra.settings import MeshSettings, load_settings
from services.relay import work_topics
from services.relay.records import outgoing_records
from services.relay.work_topics import KINDS_FROM, WorkTopics, kinds_of

FOR_HOSTS = [TaskAssigned, TaskReassigned, TaskTimedOut, TaskCancelled]


def event_of(event: type[Event], **changes: Any) -> Event:
    return event.model_validate({**EXAMPLES[event], **changes})


def entry_of(event: Event, position: int = 7) -> LogEntry:
    is_rejection = isinstance(event, CommandRejected)
    type_name = rejected_type("tasks") if is_rejection else event.type_name
    metadata = Metadata(
        f"e-{position}", type_name, "/agentmesh/x", event.aggregate_id, "2026-05-04T09:30:00Z", "acme", "user", "u", "corr", "cause"
    )
    kind = "rejection" if is_rejection else "event"
    state = encode_stored(metadata, event.to_json())
    return LogEntry(position, kind, event.aggregate_id, 0 if is_rejection else 3, type_name, state, None)  # type: ignore[arg-type]


def parked(position: int) -> LogEntry:
    record = SourceRecord("commands", 0, 5, 0, b"task-1", b"{", ())
    letter = DeadLetter(
        position, "task-1", "c", "t", record, "g", "defect", "E", "m", "", 3, "1.0.0", "2026-05-04T09:30:00Z", "parked", None, None
    )
    return LogEntry(position, "dead_letter", "task-1", 0, TaskAssigned.type_name, b"", letter)


def records_of(*entries: LogEntry, context: str = "tasks") -> list[OutgoingRecord]:
    return list(outgoing_records(context, entries, "t-1."))


def test_a_table_says_which_events_are_for_hosts() -> None:
    assert {event.type_name for event in FOR_HOSTS} == WORK_EVENTS
    assert KINDS_FROM - {AgentCreated.type_name} == WORK_EVENTS


@pytest.mark.parametrize("event", FOR_HOSTS)
def test_an_event_for_hosts_goes_to_its_topic_and_then_unchanged_to_the_work_topic_under_the_agent(event: type[Event]) -> None:
    given = event_of(event, kind="triage", agent_id="agent-7")
    published, work = records_of(entry_of(given))
    assert (published.topic, published.key) == ("t-1.agentmesh.tasks.events.v1", given.aggregate_id.encode())
    assert (work.topic, work.key) == ("t-1.agentmesh.work.triage.v1", b"agent-7")
    assert (work.value, work.headers) == (published.value, published.headers)
    assert work.value == given.to_json()
    assert dict(work.headers)["ce_subject"].decode() == given.aggregate_id


@pytest.mark.parametrize("event", [each for each in (*TASK_EVENTS, *AGENT_EVENTS) if each not in FOR_HOSTS])
def test_other_events_go_to_their_topic_alone(event: type[Event]) -> None:
    (published,) = records_of(entry_of(event_of(event)), context=event.context)
    assert published.topic == f"t-1.agentmesh.{event.context}.events.v1"


def test_a_task_that_was_cancelled_while_it_waited_is_no_hosts_business() -> None:
    (published,) = records_of(entry_of(event_of(TaskCancelled, agent_id=None)))
    assert published.topic == "t-1.agentmesh.tasks.events.v1"


def test_a_page_keeps_its_order_on_every_topic() -> None:
    refusal = CommandRejected.model_validate(
        {
            "tenant_id": "acme",
            "aggregate_id": "task-1",
            "command_id": "c",
            "command_type": "agentmesh.tasks.AssignTask.v1",
            "error_type": "E",
            "code": "C",
            "message": "m",
        }
    )
    page = [
        entry_of(event_of(TaskQueued), 1),
        entry_of(event_of(TaskAssigned, agent_id="agent-1", kind="triage"), 2),
        entry_of(refusal, 3),
        parked(4),
        entry_of(event_of(TaskTimedOut, agent_id="agent-1", kind="triage"), 5),
    ]
    found = [(record.topic.removeprefix("t-1.agentmesh."), dict(record.headers).get("ce_position")) for record in records_of(*page)]
    assert [(topic, position and int(position)) for topic, position in found] == [
        ("tasks.events.v1", 1),
        ("tasks.events.v1", 2),
        ("work.triage.v1", 2),
        ("tasks.rejections.v1", 3),
        ("tasks.dlq.v1", None),
        ("tasks.events.v1", 5),
        ("work.triage.v1", 5),
    ]


def test_a_page_needs_the_topics_of_the_kinds_it_names() -> None:
    page = [
        entry_of(event_of(AgentCreated, kind="billing")),
        entry_of(event_of(AgentSuspended)),
        entry_of(event_of(TaskAssigned, kind="triage")),
        entry_of(event_of(TaskCancelled, kind="research", agent_id=None)),
        entry_of(event_of(TaskQueued, kind="nobody")),
        entry_of(event_of(TaskCompleted, kind="nobody")),
    ]
    assert kinds_of(page) == {"billing", "triage", "research"}
    assert kinds_of([]) == set()


def test_a_parked_record_names_no_kind() -> None:
    """Its entry carries whatever type its sender gave it, and no state: reading it as an event would end the relay for good."""
    assert kinds_of([parked(4)]) == set()


# --- making them -------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the topics of each call to the broker."""
    calls: list[list[str]] = []

    async def create(bootstrap: str, specs: Any, prefix: str) -> list[str]:
        assert bootstrap == "broker:9092"
        calls.append([prefix + spec.name for spec in specs])
        return calls[-1]

    monkeypatch.setattr(work_topics, "create_topics", create)
    return calls


@pytest.fixture
def settings(tmp_path: Any) -> MeshSettings:
    loaded = load_settings(home=tmp_path, topic_prefix="t-1.")
    return loaded.with_endpoints(postgres_dsn="postgresql://a/b", redis_url="redis://c", kafka_bootstrap="broker:9092")


async def test_a_topic_is_made_once_and_in_one_call_with_the_others_of_its_page(made: list[list[str]], settings: MeshSettings) -> None:
    topics = WorkTopics(settings)
    await topics.make_for([entry_of(event_of(TaskQueued))])
    assert made == []
    page = [entry_of(event_of(TaskAssigned, kind="triage")), entry_of(event_of(AgentCreated, kind="billing"))]
    await topics.make_for(page)
    await topics.make_for(page)
    await topics.make_for([*page, entry_of(event_of(AgentCreated, kind="research"))])
    assert made == [["t-1.agentmesh.work.billing.v1", "t-1.agentmesh.work.triage.v1"], ["t-1.agentmesh.work.research.v1"]]


async def test_a_topic_that_could_not_be_made_is_asked_for_again(settings: MeshSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [TimeoutError("away"), None]

    async def create(_: str, specs: Any, prefix: str) -> list[str]:
        if (failure := answers.pop(0)) is not None:
            raise failure
        return []

    monkeypatch.setattr(work_topics, "create_topics", create)
    topics = WorkTopics(settings)
    page = [entry_of(event_of(AgentCreated))]
    with pytest.raises(TimeoutError):
        await topics.make_for(page)
    await topics.make_for(page)
    assert answers == []
