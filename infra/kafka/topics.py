"""Creates the topics of the contract and verifies them when a worker starts; run by `agentmesh migrate` and by every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from contracts.topics import TopicSpec
from infra.errors import ConfigurationError, TransientError

LEADERS_SECONDS = 30.0
VERIFY_SECONDS = 5.0
UNKNOWN_TOPIC = 3
# Copies of each partition, where there are as many brokers.
REPLICAS = 3
TOPIC_ALREADY_EXISTS = 36


async def _admin(bootstrap: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="agentmesh-admin", request_timeout_ms=15_000)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise TransientError(f"Kafka at {bootstrap} does not answer: {error}") from error
    return admin


def _new_topic(spec: TopicSpec, prefix: str, replicas: int) -> NewTopic:
    config = {"retention.ms": str(spec.retention_ms), "cleanup.policy": spec.cleanup_policy, **spec.config}
    return NewTopic(prefix + spec.name, num_partitions=spec.partitions, replication_factor=replicas, topic_configs=config)


async def create_topics(bootstrap: str, specs: Sequence[TopicSpec], prefix: str = "") -> list[str]:
    """Create the topics that do not exist yet; answers their names. Raises TransientError when the broker is away, or takes too long."""
    admin = await _admin(bootstrap)
    try:
        existing = set(await admin.list_topics())
        missing = [spec for spec in specs if prefix + spec.name not in existing]
        if not missing:
            return []
        replicas = min(REPLICAS, len((await admin.describe_cluster())["brokers"]))
        response = await admin.create_topics([_new_topic(spec, prefix, replicas) for spec in missing], timeout_ms=15_000)
        for topic, code, *message in response.topic_errors:
            if code not in (0, TOPIC_ALREADY_EXISTS):
                raise ConfigurationError(f"Kafka refused to create topic {topic}: {for_code(code).__name__} {message}")
        await _wait_for_leaders(admin, [prefix + spec.name for spec in missing])
        return [prefix + spec.name for spec in missing]
    except (KafkaError, TimeoutError) as error:
        raise TransientError(f"topics could not be created: {type(error).__name__} {error}") from error
    finally:
        await admin.close()


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    async with asyncio.timeout(LEADERS_SECONDS):
        while True:
            described = await admin.describe_topics(names)
            if all(t["error_code"] == 0 and all(p["leader"] >= 0 for p in t["partitions"]) for t in described):
                return
            await asyncio.sleep(0.05)


async def verify_topics(bootstrap: str, specs: Sequence[TopicSpec], prefix: str = "") -> None:
    """Refuse to start on missing topics or other partition counts: ConfigurationError names each and the command that mends it."""
    admin = await _admin(bootstrap)
    try:
        async with asyncio.timeout(VERIFY_SECONDS):
            described = await admin.describe_topics([prefix + spec.name for spec in specs])
    except (KafkaError, TimeoutError) as error:
        raise TransientError(f"topics could not be verified: {error}") from error
    finally:
        await admin.close()
    for topic in described:
        if topic["error_code"] not in (0, UNKNOWN_TOPIC):  # a broker that has just started does not know its leaders yet
            raise TransientError(f"topic {topic['topic']} could not be verified: {for_code(topic['error_code']).__name__}")
    found = {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}
    problems = []
    for spec in specs:
        name = prefix + spec.name
        if name not in found:
            problems.append(f"topic {name} is missing: run agentmesh migrate")
        elif found[name] != spec.partitions:
            problems.append(
                f"topic {name} has {found[name]} partitions, {spec.partitions} are configured: keys would change their partition. "
                "Set AGENTMESH_PARTITIONS to the count in use, or move to a new topic"
            )
    if problems:
        raise ConfigurationError("; ".join(problems) + ".")
