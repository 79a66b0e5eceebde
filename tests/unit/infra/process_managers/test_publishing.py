"""The commands go to Kafka before the checkpoint moves, on the topic and under the key of their aggregates."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka import TopicPartition

from contracts.envelope import Metadata, command_headers
from contracts.requests.commands import StartResearch
from contracts.tasks.commands import CancelTask
from infra.errors import TransientError
from infra.kafka.producer import OutgoingRecord
from infra.postgres.errors import CheckpointMoved
from infra.process_managers.base import NextCommand
from infra.process_managers.publishing import CommandPublisher
from infra.read_models.checkpoints import ADVANCE, Checkpoint, Move

PARTITION = TopicPartition("t-1.agentmesh.requests.events.v1", 2)
START = StartResearch(tenant_id="test-tenant", request_id="req-1")  # type: ignore[arg-type]
CANCEL = CancelTask(tenant_id="test-tenant", task_id="task-1", reason="withdrawn")  # type: ignore[arg-type]


class Broker:
    """Takes pages, or is away."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.pages: list[list[OutgoingRecord]] = []
        self.away = False

    async def publish(self, records: Iterable[OutgoingRecord]) -> None:
        if self.away:
            raise TransientError("away")
        self.steps.append("published")
        self.pages.append(list(records))

    async def close(self) -> None:
        self.steps.append("closed")


class Rows:
    """Takes the statements of a transaction, or knows that another worker was there."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.moved = False

    async def execute_together(self, statements: Iterable[tuple[bytes, dict[str, Any]]]) -> None:
        if self.moved:
            raise CheckpointMoved("another worker")
        ((sql, parameters),) = statements
        assert sql == ADVANCE
        self.steps.append(f"checkpoint {parameters['expected']} -> {parameters['next_offsets']}")


def metadata(command: StartResearch | CancelTask) -> Metadata:
    return Metadata("c-1", command.type_name, "/agentmesh/p", command.aggregate_id, "t", "test-tenant", "system", "p", "corr", "cause")


def move(*commands: StartResearch | CancelTask) -> Move:
    changes = [NextCommand(command, metadata(command)) for command in commands]
    return Move({PARTITION: Checkpoint(4, 9)}, {PARTITION: Checkpoint(5, 10)}, changes)


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.fixture
def broker(steps: list[str]) -> Broker:
    return Broker(steps)


@pytest.fixture
def rows(steps: list[str]) -> Rows:
    return Rows(steps)


@pytest.fixture
def publisher(broker: Broker, rows: Rows) -> CommandPublisher:
    return CommandPublisher(rows, "test-process", broker, "t-1.")  # type: ignore[arg-type]


async def test_commands_are_published_before_the_checkpoint_moves(publisher: CommandPublisher, broker: Broker, steps: list[str]) -> None:
    await publisher.save(move(START, CANCEL))
    assert steps == ["published", "checkpoint [4] -> [5]"]
    assert broker.pages == [
        [
            OutgoingRecord("t-1.agentmesh.requests.commands.v1", b"req-1", START.to_json(), command_headers(metadata(START))),
            OutgoingRecord("t-1.agentmesh.tasks.commands.v1", b"task-1", CANCEL.to_json(), command_headers(metadata(CANCEL))),
        ]
    ]


async def test_events_that_lead_to_nothing_move_the_checkpoint_alone(publisher: CommandPublisher, steps: list[str]) -> None:
    await publisher.save(move())
    assert steps == ["checkpoint [4] -> [5]"]


async def test_a_broker_that_is_away_leaves_the_checkpoint_where_it_was(
    publisher: CommandPublisher, broker: Broker, steps: list[str]
) -> None:
    broker.away = True
    with pytest.raises(TransientError):
        await publisher.save(move(START))
    assert steps == []
    broker.away = False
    await publisher.save(move(START))
    assert steps == ["published", "checkpoint [4] -> [5]"]


async def test_a_worker_that_lost_its_partition_has_only_repeated_its_commands(
    publisher: CommandPublisher, broker: Broker, rows: Rows, steps: list[str]
) -> None:
    rows.moved = True
    with pytest.raises(CheckpointMoved):
        await publisher.save(move(START))
    assert steps == ["published"]
    assert len(broker.pages) == 1


async def test_closing_closes_the_producer(publisher: CommandPublisher, steps: list[str]) -> None:
    await publisher.close()
    assert steps == ["closed"]
