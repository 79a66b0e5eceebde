"""What brokers answer that is no answer: no offsets are no group that never committed."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v3

from infra.errors import TransientError
from infra.lags.base import Partition
from infra.lags.kafka import KafkaTopics
from infra.settings import load_settings

GROUP, TOPIC = "agentmesh.requests", "agentmesh.requests.commands.v1"
FIRST, SECOND = Partition(TOPIC, 0), Partition(TOPIC, 1)
NOT_COORDINATOR, LOADING = 16, 14
SETTINGS = load_settings(kafka_bootstrap_servers="127.0.0.1:9")


class Broker:
    """What stands behind the driver's admin client, which is the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer = OffsetFetchResponse_v3(0, [], 0)
        self.asked: list[int] = []

        async def start(_: AIOKafkaAdminClient) -> None:
            return None

        async def find_coordinator(_: AIOKafkaAdminClient, group: str) -> int:
            return len(self.asked)

        async def send(_: AIOKafkaAdminClient, request: OffsetFetchRequest, node: int) -> OffsetFetchResponse_v3:
            self.asked.append(node)
            return self.answer

        monkeypatch.setattr(AIOKafkaAdminClient, "start", start)
        monkeypatch.setattr(AIOKafkaAdminClient, "find_coordinator", find_coordinator)
        monkeypatch.setattr(AIOKafkaAdminClient, "_send_request", send)


@pytest.mark.parametrize("error", [NOT_COORDINATOR, LOADING])
async def test_a_broker_that_is_not_or_not_yet_the_coordinator_is_no_group_that_never_committed(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    broker, topics = Broker(monkeypatch), KafkaTopics(SETTINGS, "test")
    broker.answer = OffsetFetchResponse_v3(0, [], error)
    with pytest.raises(TransientError, match="NotCoordinator"):
        await topics.committed({GROUP: [FIRST, SECOND]})
    broker.answer = OffsetFetchResponse_v3(0, [(TOPIC, [(0, 7, "", 0), (1, -1, "", 0)])], 0)
    assert await topics.committed({GROUP: [FIRST, SECOND]}) == {GROUP: {FIRST: 7}}
    assert broker.asked == [0, 1], "the coordinator is looked for anew"
    await topics.close()


async def test_of_a_topic_that_is_not_there_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, topics = Broker(monkeypatch), KafkaTopics(SETTINGS, "test")
    assert await topics.committed({GROUP: []}) == {GROUP: {}}
    assert broker.asked == []
    await topics.close()
