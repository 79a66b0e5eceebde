"""The same servers as containers, by testcontainers, when `AGENTMESH_SERVERS=docker` asks for it; gone when their starter ends.

For a fleet that outlives one command use `compose.yaml`; both run the images named here.
"""

from __future__ import annotations

import base64
import os
import secrets
import uuid
from collections.abc import Iterable
from typing import Any

from infra.local_stack.errors import LocalStackError, MissingPackage
from infra.local_stack.kafka_jars import KAFKA_VERSION
from infra.local_stack.ports import HOST, free_port
from infra.local_stack.progress import Progress, silent

POSTGRES_IMAGE = "pgvector/pgvector:0.8.1-pg18@sha256:508c5290cda481d4f5f846446a26e9c1b804766828a394a5861de1b348a18b4c"
KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}@sha256:0bc1bb2478f45b6cea78864df86acdc11e8df2c5172477819a4d12942cbe5d40"
REDIS_IMAGE = "redis:7-alpine@sha256:6ab0b6e7381779332f97b8ca76193e45b0756f38d4c0dcda72dbb3c32061ab99"

_KAFKA_ENVIRONMENT = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
}


class DockerServers:
    """Containers of the named servers; `stop` removes them with their data. Raises LocalStackError where no engine answers."""

    def __init__(self, progress: Progress = silent) -> None:
        self._progress = progress
        self._containers: list[Any] = []

    def start(self, names: Iterable[str]) -> dict[str, str]:
        """The address of each named server (`postgres`, `kafka`, `redis`), once it is ready."""
        make = {"postgres": self._postgres, "kafka": self._kafka, "redis": self._redis}
        try:
            from testcontainers.core.docker_client import DockerClient

            host = DockerClient().host()
        except ImportError:
            raise MissingPackage("AGENTMESH_SERVERS=docker needs the package testcontainers: `pip install testcontainers`.") from None
        except Exception as error:
            raise LocalStackError(
                f"AGENTMESH_SERVERS=docker, but no container engine answers ({type(error).__name__}): "
                "start it, or use AGENTMESH_SERVERS=local."
            ) from error
        try:
            return {name: make[name](HOST if host == "localhost" else host) for name in names}
        except Exception as error:
            self.stop()
            raise LocalStackError(f"A container could not be started: {error}") from error

    def stop(self) -> None:
        """Remove every container that this object started."""
        while self._containers:
            self._containers.pop().stop()

    def _run(self, container: Any, what: str) -> Any:
        self._progress(f"starting a container of {what} (its image is fetched when absent)")
        self._containers.append(container)
        return container.start()

    def _postgres(self, host: str) -> str:
        from testcontainers.community.postgres import PostgresContainer

        image = os.environ.get("POSTGRES_IMAGE") or POSTGRES_IMAGE
        password = secrets.token_urlsafe(24)
        container = PostgresContainer(image, username="agentmesh", password=password, dbname="agentmesh", driver=None)
        self._run(container.with_command("postgres -c max_connections=300"), image)
        return f"postgresql://agentmesh:{password}@{host}:{container.get_exposed_port(5432)}/agentmesh"

    def _kafka(self, host: str) -> str:
        """The broker tells clients its address, so its port on the host is chosen before it starts."""
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        port = free_port(set())
        container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
        for name, value in _KAFKA_ENVIRONMENT.items():
            container = container.with_env(name, value)
        container = container.with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://{host}:{port}")
        container = container.with_env("CLUSTER_ID", base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
        self._run(container.waiting_for(LogMessageWaitStrategy("Kafka Server started")), KAFKA_IMAGE)
        return f"{host}:{port}"

    def _redis(self, host: str) -> str:
        from testcontainers.community.redis import RedisContainer

        container = RedisContainer(REDIS_IMAGE)
        self._run(container, REDIS_IMAGE)
        return f"redis://{host}:{container.get_exposed_port(6379)}/0"
