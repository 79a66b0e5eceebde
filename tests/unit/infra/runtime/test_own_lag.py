"""How far a worker tells that it is behind."""

import time

from aiokafka import TopicPartition

from infra.settings import load_settings
from infra.telemetry.telemetry import Telemetry
from services.requests.worker import command_worker

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
HOURS = 36_000.0


def test_the_first_record_after_a_quiet_night_is_not_as_old_as_the_night() -> None:
    settings = load_settings().with_endpoints(
        postgres_dsn="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1/0", kafka_bootstrap="127.0.0.1:1"
    )
    telemetry = Telemetry.for_tests()
    worker = command_worker(settings, telemetry)
    evening = int((time.time() - HOURS) * 1000)
    handled = {FIRST: evening, SECOND: evening}
    assert worker.report("g", {FIRST: 0, SECOND: 0}, handled) == 0
    assert worker.report("g", {FIRST: 3, SECOND: 0}, handled) < 10

    def shown(name: str, partition: int) -> float | None:
        labels = {"group": "g", "topic": "t", "partition": str(partition)}
        return telemetry.metrics.registry.get_sample_value(f"agentmesh_consumer_lag_{name}", labels)

    assert shown("messages", 0) == 3
    assert (shown("seconds", 0) or HOURS) < 10
    assert shown("seconds", 1) == 0

    # Of one that was never seen at its end, the last handled record says since when the next one may wait.
    other = command_worker(settings, telemetry)
    assert HOURS - 10 < other.report("g", {FIRST: 3}, handled) < HOURS + 60
