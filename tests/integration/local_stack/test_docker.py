"""The same servers as containers; runs where a container engine answers."""

import asyncio
import gc

import psycopg
import pytest
import redis

from infra.local_stack.docker import DockerServers
from infra.local_stack.kafka import lists_topics

pytestmark = [pytest.mark.integration, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]


def engine_answers() -> bool:
    try:
        from testcontainers.core.docker_client import DockerClient

        return bool(DockerClient().client.ping())
    except Exception:
        return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # docker's client drops its socket unclosed
def test_each_container_answers() -> None:
    answers = engine_answers()
    gc.collect()
    if not answers:
        pytest.skip("no container engine answers (install Docker, or start it)")
    servers = DockerServers()
    try:
        found = servers.start(["postgres", "kafka", "redis"])
        with psycopg.connect(found["postgres"]) as connection:
            connection.execute("CREATE EXTENSION vector")
        assert asyncio.run(lists_topics(found["kafka"]))
        with redis.Redis.from_url(found["redis"]) as client:
            assert client.ping()
    finally:
        servers.stop()
