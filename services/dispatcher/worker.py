"""The dispatcher worker: tasks and agents in, AssignTask out; one is active, others stand by; run by `agentmesh run dispatcher`.

It follows the logs themselves and not their topics: what it decides on is then never older than what the store holds, and a new leader
begins by reading them once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime

from contracts.envelope import Metadata, command_headers
from contracts.ids import new_command_id
from contracts.tasks.commands import AssignTask
from contracts.topics import commands_topic
from infra.kafka.producer import OutgoingRecord
from infra.runtime.leading_worker import LeadingWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.dispatcher.dispatch import Assignment, Dispatcher
from services.dispatcher.feed import AGENTS, TASKS, Feed
from services.dispatcher.settings import DispatcherSettings

logger = logging.getLogger(__name__)

NAME = "dispatcher"
SOURCE = "/agentmesh/dispatcher"
MOST_REMEMBERED = 100_000


class DispatcherWorker(LeadingWorker):
    """Assigns waiting tasks to agents. Its state is in memory; whatever it forgets is in the logs."""

    def __init__(self, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._own = DispatcherSettings()
        super().__init__(NAME, (TASKS, AGENTS), settings, telemetry, leader_poll_seconds=self._own.leader_poll_seconds)

    def required_topics(self) -> Collection[str]:
        """Where assignments go."""
        return {commands_topic(TASKS)}

    async def lead(self) -> None:
        """Read the logs, then dispatch whatever is new."""
        own = self._own
        dispatcher = Dispatcher(
            ageing_seconds=own.ageing_seconds, answer_seconds=own.answer_seconds, refusal_pause_seconds=own.refusal_pause_seconds
        )
        feed = Feed(self.stores, dispatcher, own.page_size)
        looked, idle = time.monotonic(), 0
        await feed.read_new(look_first=False)  # all that is open is known before the first choice
        while not self.stopping.is_set():
            self.attempted()
            if time.monotonic() - looked > own.leader_poll_seconds:
                looked = time.monotonic()
                if not await self.leader.still_leads():
                    logger.warning("the dispatcher's session is gone, so it leads no more")
                    return
            news = await feed.read_new(look_first=idle > 0)
            chosen = dispatcher.dispatch(time.monotonic(), own.most_at_once)
            if chosen:
                await self._publish(feed, chosen)
            if news or chosen:
                idle = 0
                continue
            await self.pause(min(own.idle_poll_ms * 1.1 ** min(idle, 100), own.longest_idle_poll_ms) / 1000)
            idle += 1

    async def _publish(self, feed: Feed, chosen: list[Assignment]) -> None:
        topic = self.settings.topic_prefix + commands_topic(TASKS)
        records = []
        for assignment in chosen:
            command = AssignTask(
                tenant_id=assignment.tenant_id, task_id=assignment.task_id, agent_id=assignment.agent_id, attempt=assignment.attempt
            )
            metadata = _metadata(command, feed.causes.get(assignment.task_id))
            feed.unanswered[metadata.message_id] = assignment
            records.append(OutgoingRecord(topic, command.task_id.encode(), command.to_json(), command_headers(metadata)))
        while len(feed.unanswered) > MOST_REMEMBERED:
            feed.unanswered.pop(next(iter(feed.unanswered)))
        await self.publisher.publish(records)
        self.succeeded()


def _metadata(command: AssignTask, cause: Metadata | None) -> Metadata:
    """A new id for each publication: the same assignment may be made again after it was refused."""
    command_id = new_command_id()
    return Metadata(
        message_id=command_id,
        type_name=command.type_name,
        source=SOURCE,
        subject=command.task_id,
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        tenant_id=command.tenant_id,
        auth_type="system",
        auth_id=NAME,
        correlation_id=command_id if cause is None else cause.correlation_id,
        causation_id=command_id if cause is None else cause.message_id,
        traceparent=None if cause is None else cause.traceparent,
        tracestate=None if cause is None else cause.tracestate,
    )


def build(settings: MeshSettings, telemetry: Telemetry) -> DispatcherWorker:
    """The dispatcher of all kinds of agents."""
    return DispatcherWorker(settings, telemetry)
