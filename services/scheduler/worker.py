"""The scheduler worker: deadlines that have come, runs that were left and requests to look at again in, commands out; one is active; run by
`agentmesh run scheduler`.

It keeps no state that matters: what is due is in Postgres, and a command that is published twice has the same id.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime

from contracts.envelope import command_headers
from contracts.topics import commands_topic
from infra.kafka.producer import OutgoingRecord
from infra.runtime.leading_worker import LeadingWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from projections.deadlines.queries import due_deadlines, left_runs
from projections.reviews.queries import outdated_requests
from projections.tasks.queries import settled_pauses
from services.scheduler.due import COMMANDS, DueCommand, commands_of, envelope, reassignments, resumptions, reviews
from services.scheduler.settings import SchedulerSettings

NAME = "scheduler"
COMMANDED = ("tasks", "requests")


class SchedulerWorker(LeadingWorker):
    """Publishes what is due."""

    def __init__(self, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._own = SchedulerSettings()
        super().__init__(NAME, COMMANDED, settings, telemetry, leader_poll_seconds=self._own.leader_poll_seconds)
        self._published: dict[str, float] = {}
        self._reviewed = 0.0

    def required_topics(self) -> Collection[str]:
        """Where due commands go."""
        return {commands_topic(context) for context in COMMANDED}

    async def lead(self) -> None:
        """Look from time to time for what is due."""
        own = self._own
        while not self.stopping.is_set() and await self.leader.still_leads():
            self.attempted()
            found = [
                *commands_of(await due_deadlines(self.database, COMMANDS, own.page_size)),
                *reassignments(await left_runs(self.database, own.page_size, own.lease_margin_seconds)),
                *resumptions(await settled_pauses(self.database, own.page_size)),
            ]
            if time.monotonic() - self._reviewed >= own.review_seconds:
                found += reviews(await outdated_requests(self.database, own.page_size))
                self._reviewed = time.monotonic()
            if found:
                await self._publish(found)
            self.succeeded()
            await self.pause(own.poll_seconds)

    async def _publish(self, found: list[DueCommand]) -> None:
        now = time.monotonic()
        recently = {command_id: at for command_id, at in self._published.items() if now - at < self._own.repeat_seconds}
        new = [due for due in found if due.command_id not in recently]
        text = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if new:
            await self.publisher.publish(
                OutgoingRecord(
                    self.settings.topic_prefix + commands_topic(due.command.context),
                    due.command.aggregate_id.encode(),
                    due.command.to_json(),
                    command_headers(envelope(due, text)),
                )
                for due in new
            )
        self._published = {**recently, **{due.command_id: now for due in new}}


def build(settings: MeshSettings, telemetry: Telemetry) -> SchedulerWorker:
    """The scheduler of all deadlines."""
    return SchedulerWorker(settings, telemetry)
