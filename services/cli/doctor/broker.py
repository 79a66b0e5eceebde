"""Checks of Kafka and Redis: do they answer here, under the addresses that they give themselves, with the topics of the contract."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.topics import topics as all_topics
from infra.diagnosis.base import Fault
from infra.diagnosis.kafka import Broker
from infra.diagnosis.redis import ask_redis, place_of
from infra.kafka.topics import verify_topics
from infra.settings import MeshSettings
from services.cli.doctor.findings import Finding, Verdict, of_fault, well


def judge_kafka(brokers: Sequence[Broker] | Fault, bootstrap: str) -> Finding:
    """Whether every broker can be reached where the cluster says that it is."""
    if isinstance(brokers, Fault):
        return of_fault("kafka", brokers)
    lost = [broker for broker in brokers if broker.fault is not None]
    if lost:
        found = f"{bootstrap} answers, but sends clients to {', '.join(broker.place for broker in lost)}, which cannot be reached from here"
        advice = "set advertised.listeners of the broker to an address that clients reach, or use the listener that is meant for here"
        return Finding("kafka", Verdict.FAIL, f"{found}: {lost[0].fault.found if lost[0].fault else ''}", advice)
    return well("kafka", f"reached at {', '.join(broker.place for broker in brokers)}")


async def topics(settings: MeshSettings) -> Finding:
    """Whether the topics are there as configured; raises ConfigurationError that names each that is not."""
    specs = all_topics(settings.partitions)
    await verify_topics(settings.kafka_bootstrap, specs, settings.topic_prefix)
    return well("topics", f"{len(specs)}, as configured")


async def redis(settings: MeshSettings) -> Finding:
    """Redis, whose loss degrades and stops nothing."""
    answer = await ask_redis(settings.redis_dsn)
    if isinstance(answer, Fault):
        fault = answer._replace(advice=f"{answer.advice}; without it rates are limited by each process and nothing is cached")
        return of_fault("redis", fault, Verdict.WARN)
    return well("redis", f"{answer} at {place_of(settings.redis_dsn)}")
