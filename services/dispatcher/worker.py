"""The dispatcher worker: tasks, agents and heartbeats in, AssignTask and findings about health out; one is active, others stand by; run by
`agentmesh run dispatcher`.

It follows the logs themselves and not their topics: what it decides on is then never older than what the store holds. A new leader begins
with what is open by the read models. Of the fleet topic it hears which kinds of agents have a live host.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from contextlib import ExitStack

from contracts.envelope import Metadata, command_headers
from contracts.ids import TenantId
from contracts.message import Command
from contracts.topics import FLEET_TOPIC, commands_topic
from infra.event_store.heads import LogHeads
from infra.fleet.kafka import KafkaFleetTopic
from infra.kafka.producer import OutgoingRecord
from infra.resilience.gathering import Gathering
from infra.runtime.leading_worker import LeadingWorker
from infra.settings import MeshSettings
from infra.telemetry import names
from infra.telemetry.telemetry import Telemetry
from infra.telemetry.tracing import MessageSpans
from services.dispatcher import orders
from services.dispatcher.dispatch import Assignment, Decided, Dispatcher, Told
from services.dispatcher.feed import AGENTS, TASKS, Feed
from services.dispatcher.health import AgentHealth
from services.dispatcher.liveness import Liveness
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.start import begin
from services.dispatcher.watch import FleetWatch

logger = logging.getLogger(__name__)

NAME = "dispatcher"
MOST_REMEMBERED = 100_000
GAUGE_SECONDS = 5.0


class DispatcherWorker(LeadingWorker):
    """Assigns waiting tasks to agents and tells which agents are unhealthy. Its state is in memory; what it forgets is in the logs."""

    def __init__(self, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._own = DispatcherSettings()
        super().__init__(NAME, (TASKS, AGENTS), settings, telemetry, leader_poll_seconds=self._own.leader_poll_seconds)
        self._heads = LogHeads(self.database, (TASKS, AGENTS))
        self._outcomes = {each: telemetry.metrics.dispatch_decisions_total.labels(outcome=each.value) for each in Decided}

    def required_topics(self) -> Collection[str]:
        """Where its commands go, and what it hears of hosts."""
        return {commands_topic(TASKS), commands_topic(AGENTS), FLEET_TOPIC}

    async def lead(self) -> None:
        """Read what is open and what happened since, then dispatch whatever is new, and listen to the fleet meanwhile."""
        own = self._own
        dispatcher = Dispatcher(
            ageing_seconds=own.ageing_seconds, answer_seconds=own.answer_seconds, refusal_pause_seconds=own.refusal_pause_seconds
        )
        feed = Feed(self.stores, dispatcher, own.page_size)
        await begin(self.database, self.stores, dispatcher, feed, self.settings.topic_prefix, self.settings.partitions)
        await feed.read_new()  # all that is open is known before the first choice
        dispatcher.take_told()  # of what was before, another leader has told
        liveness = Liveness(
            self.identity,
            self.settings.partitions,
            silence_seconds=own.silence_seconds,
            gap_seconds=own.gap_seconds,
            grace_seconds=own.grace_seconds,
            forget_seconds=own.forget_seconds,
        )
        health = AgentHealth(
            dispatcher.directory,
            liveness,
            most_unanswered=own.verdicts_at_once,
            answer_seconds=own.answer_seconds,
            lost_leases=own.lost_leases,
            pause_seconds=own.failure_pause_seconds,
        )
        feed.observer = health.apply
        topic = KafkaFleetTopic(self.settings, f"agentmesh-{NAME}-fleet")
        watch = asyncio.create_task(FleetWatch(topic, liveness, self.identity, own.probe_seconds).run(), name="fleet-watch")
        watch.add_done_callback(self._watch_ended)
        try:
            await self._dispatch(feed, dispatcher, health, liveness)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            self.telemetry.metrics.active_agents.clear()
            self.telemetry.metrics.live_hosts.set(0)

    def _watch_ended(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled() and (error := watch.exception()) is not None:
            self.fail(RuntimeError(f"the dispatcher's watch died: {error!r}"))

    async def _dispatch(self, feed: Feed, dispatcher: Dispatcher, health: AgentHealth, liveness: Liveness) -> None:
        own = self._own
        led, examined, counted, idle, gathering = time.monotonic(), 0.0, 0.0, 0, Gathering()
        while not self.stopping.is_set():
            self.attempted()
            now = time.monotonic()
            if now - led > own.leader_poll_seconds:
                led = now
                if not await self.leader.still_leads():
                    logger.warning("the dispatcher's session is gone, so it leads no more")
                    return
            news = await feed.read_new(await self._heads.look() if idle else None)
            chosen = dispatcher.dispatch(time.monotonic(), own.most_at_once)
            if chosen:
                await self._assign(feed, chosen)
            if now - examined > own.health_poll_seconds:
                examined = now
                await self._examine(feed, dispatcher, health)
            if now - counted > GAUGE_SECONDS:
                counted = now
                self._show(dispatcher.directory.counts(), liveness.live_hosts(now))
            self._tell(dispatcher.take_told())
            if news or chosen:
                idle = 0
                if gather_ms := gathering.after(news):
                    await self.pause(gather_ms / 1000)
                continue
            await self.pause(min(own.idle_poll_ms * 1.1 ** min(idle, 100), own.longest_idle_poll_ms) / 1000)
            idle += 1

    async def _assign(self, feed: Feed, chosen: list[Assignment]) -> None:
        records = []
        for assignment in chosen:
            command, metadata = orders.assign(assignment, feed.causes.get(assignment.task_id))
            feed.unanswered[metadata.message_id] = assignment
            records.append((command, metadata))
        while len(feed.unanswered) > MOST_REMEMBERED:
            feed.unanswered.pop(next(iter(feed.unanswered)))
        await self._publish(records)

    async def _examine(self, feed: Feed, dispatcher: Dispatcher, health: AgentHealth) -> None:
        """Take tasks from agents that are gone, and tell which agents became unhealthy or recovered."""
        records = [orders.take_back(held, feed.causes.get(held.task_id)) for held in dispatcher.take_stranded()]
        verdicts = health.verdicts(time.monotonic())
        records += [orders.tell_health(verdict) for verdict in verdicts]
        if records:
            await self._publish(records)
        failures = self.telemetry.metrics.health_check_failures_total
        for verdict in verdicts:
            if verdict.failure is not None:
                failures.labels(agent_id=verdict.agent_id, failure_reason=verdict.failure.value).inc()
        if verdicts:
            failed = sum(verdict.failure is not None for verdict in verdicts)
            logger.info("%d agents found unhealthy, %d recovered", failed, len(verdicts) - failed)

    async def _publish(self, ordered: Iterable[tuple[Command, Metadata]]) -> None:
        prefix, tracing = self.settings.topic_prefix, self.telemetry.tracing
        by_topic: dict[str, MessageSpans] = {}
        records = []
        with ExitStack() as ends:
            for command, metadata in ordered:
                topic = prefix + commands_topic(command.context)
                if topic not in by_topic:
                    by_topic[topic] = ends.enter_context(tracing.message_spans(names.OPERATION_SEND, topic))
                traced = metadata._replace(traceparent=by_topic[topic].traceparent(metadata))
                records.append(OutgoingRecord(topic, metadata.subject.encode(), command.to_json(), command_headers(traced)))
            await self.publisher.publish(records)
        self.succeeded()

    def _show(self, counts: dict[tuple[TenantId, str], int], live_hosts: int) -> None:
        """Set the gauges of agents and hosts; a pair that is not there any more is not shown."""
        self.telemetry.metrics.active_agents.replace({(tenant_id, status): count for (tenant_id, status), count in counts.items()})
        self.telemetry.metrics.live_hosts.set(live_hosts)

    def _tell(self, told: Told) -> None:
        for outcome, count in told.decided.items():
            self._outcomes[outcome].inc(count)
        for seconds in told.waited:
            self.telemetry.metrics.dispatch_wait_seconds.observe(seconds)


def build(settings: MeshSettings, telemetry: Telemetry) -> DispatcherWorker:
    """The dispatcher of all kinds of agents."""
    return DispatcherWorker(settings, telemetry)
