"""The agent host: tasks of one kind in, results out; carries any number of agents of its kind; run by `agentmesh agents run module:Class`.

Promises: an attempt is run by one live host at a time (its claim), a recorded result is told again rather than made again, polling goes on
while agents think, and a rebalance stops no run. Offsets are committed up to the last record behind which nothing is unfinished.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from contracts.envelope import RecordedEvent, UnreadableEnvelope, parse_event
from contracts.message import Event
from contracts.registry import COMMANDS
from contracts.tasks.events import TaskAssigned, TaskCancelled, TaskReassigned, TaskTimedOut
from contracts.topics import FLEET_TOPIC, commands_topic, work_topic, work_topic_spec
from infra.agents.base import Agent
from infra.agents.commands import task_of
from infra.agents.heartbeats import Heartbeats
from infra.agents.observed import ObservedAttempt, begin_at_0
from infra.agents.offsets import ContiguousOffsets
from infra.agents.outbox import Outgoing, RunOutbox
from infra.agents.outside import connected
from infra.agents.run import RunResult, TenantMemory, agent_run, context_of, envelope_of
from infra.agents.runs import Answer, Claim, Run, TaskRuns
from infra.effects.base import RunClaim
from infra.effects.once import HostEffects
from infra.effects.postgres import PostgresEffectLedger
from infra.kafka.producer import PagePublisher
from infra.kafka.subscription import BatchSubscription
from infra.kafka.topics import create_topics
from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.postgres import PostgresKnowledgeBase
from infra.resilience.retry import Abandoned
from infra.runtime.connected_worker import DRAIN_SHARE, ConnectedWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry

logger = logging.getLogger(__name__)

CONTEXT = "tasks"
MAX_RECORDS = 200
COMMIT_SECONDS = 0.2
LAG_SECONDS = 2.0
RENEWALS_PER_LEASE = 3


@dataclass(slots=True)
class _Running:
    """A run that this host holds, and the records that ask for it (the same one again after a rebalance)."""

    assigned: RecordedEvent
    event: TaskAssigned
    records: list[tuple[TopicPartition, int]]
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[None] | None = None
    telling: bool = False
    """Its result is on its way: once that is recorded the lease is over, and still it has to be told to the end."""


class AgentHost(ConnectedWorker):
    """Runs the agents of one kind."""

    def __init__(
        self,
        agent: Agent,
        settings: MeshSettings,
        telemetry: Telemetry,
        *,
        lease_seconds: float = 30.0,
        most: int = 200,
        heartbeat_seconds: float = 3.0,
    ) -> None:
        super().__init__(f"agent-host.{agent.kind}", (CONTEXT,), settings, telemetry)
        self._agent = agent
        self._lease = lease_seconds
        self._most = most
        self._source = f"/agentmesh/agents/{agent.kind}"
        self._topic = settings.topic_prefix + work_topic(agent.kind)
        self._knowledge = PostgresKnowledgeBase(self.database, LocalEmbedding())
        self._effects = HostEffects(PostgresEffectLedger(self.database), telemetry.metrics, lambda: self.retry(self._over, beside=True))
        self._outside = connected(settings, telemetry, agent.kind)
        self._runs = TaskRuns(self.database, self.identity, lease_seconds)
        publisher = PagePublisher(settings, settings.kafka_bootstrap, f"agentmesh-{self.name}")
        self._outbox = RunOutbox(self._runs, publisher, settings.topic_prefix, lambda: self.retry(self._over, beside=True))
        self._heartbeats = Heartbeats(
            PagePublisher(settings, settings.kafka_bootstrap, f"agentmesh-{self.name}-heartbeats"),
            settings.topic_prefix + FLEET_TOPIC,
            self.identity,
            [agent.kind],
            capacity=most,
            interval_seconds=heartbeat_seconds,
            running=lambda: list(self._running),
        )
        self._subscription = BatchSubscription(
            settings,
            settings.kafka_bootstrap,
            [self._topic],
            f"{settings.topic_prefix}agentmesh.agents.{agent.kind}",
            handler=self._handle,
            assigned=self._assigned,
            revoked=self._revoked,
            failed=self.fail,
            member=self.identity,
            max_records=MAX_RECORDS,
        )
        telemetry.metrics.rebalances_total.labels(group=self._subscription.group)
        begin_at_0(telemetry.metrics, agent.kind)
        self._running: dict[Run, _Running] = {}
        self._offsets = ContiguousOffsets()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._paused = False
        self._over = asyncio.Event()
        self._beside: list[asyncio.Task[None]] = []

    # -- life ------------------------------------------------------------------------------------------------------------------------

    def required_topics(self) -> Collection[str]:
        """Where the results and heartbeats go; the work topic is made when it is missing."""
        return {commands_topic(CONTEXT), FLEET_TOPIC}

    async def run(self) -> None:
        """Subscribe; then the subscription hands batches to `_handle`, and this commits offsets and renews leases."""
        retry = self.retry(self.stopping)
        await retry("work topic", self._make_topic)
        await retry("subscribe", self._subscription.start)
        for work in (self._outbox.run(), self._renew(), self._heartbeats.run()):
            task = asyncio.create_task(work, name=f"{self.name}-beside")
            task.add_done_callback(self._beside_ended)
            self._beside.append(task)
        told = 0.0
        while not self.stopping.is_set():
            await self._commit()
            if time.monotonic() - told > LAG_SECONDS:
                told = time.monotonic()
                self.report(self._subscription.group, self._subscription.lag(), self._subscription.last_times)
            await self.pause(COMMIT_SECONDS)

    def _beside_ended(self, task: asyncio.Task[None]) -> None:
        """Without these nothing would be told, or every lease would end: the process ends, and the supervisor starts another."""
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Abandoned):
            self.fail(RuntimeError(f"{task.get_name()} died: {error!r}"))

    async def _make_topic(self) -> None:
        spec = work_topic_spec(self._agent.kind, self.settings.partitions)
        await create_topics(self.settings.kafka_bootstrap, [spec], self.settings.topic_prefix)

    async def drain(self) -> None:
        """Take nothing new, let runs end within the grace period, give the others back so that another host may claim them at once."""
        works = [running.work for running in self._running.values() if running.work is not None]
        if works:
            await asyncio.wait(works, timeout=self.settings.grace_seconds * DRAIN_SHARE)
        left = [run for run, running in self._running.items() if running.work is not None and not running.work.done()]
        for run in left:
            self._stop_run(run)
        self._over.set()
        await self._commit()
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if left:
            await asyncio.gather(self._runs.release(left), return_exceptions=True)
        await asyncio.gather(self._outbox.close(), self._heartbeats.goodbye(), self._outside.close())
        await self._subscription.stop()

    def last_attempt(self) -> float:
        """`time.monotonic()` of the last poll, or of the last try at a server that is away."""
        return max(super().last_attempt(), self._subscription.last_poll)

    # -- partitions ------------------------------------------------------------------------------------------------------------------

    async def _assigned(self, partitions: set[TopicPartition]) -> None:
        self.telemetry.metrics.rebalances_total.labels(group=self._subscription.group).inc()
        self.working = True
        self._paused = False

    async def _revoked(self, partitions: set[TopicPartition]) -> None:
        await self._commit()
        self._offsets.forget(partitions)

    async def _commit(self) -> None:
        offsets = self._offsets.to_commit()
        if offsets and not await self._subscription.commit(offsets):
            self._offsets.put_back(offsets)

    # -- records ---------------------------------------------------------------------------------------------------------------------

    async def _handle(self, records: Sequence[ConsumerRecord]) -> None:
        """FastStream's handler: claims what is new and starts it; never waits for an agent."""
        if self.stopping.is_set():
            return
        try:
            self.attempted()
            new: dict[Run, _Running] = {}
            for record in records:
                self._take(record, new)
            if new:
                claims = await self.retry(self.stopping)("claim", lambda: self._runs.claim(list(new)))
                for run, running in new.items():
                    self._begin(run, running, claims[run])
            self._pause_when_full()
        except Abandoned as error:
            logger.warning("batch of %s given back: %s", self.name, error)
        except Exception as error:
            logger.exception("the batch could not be taken; this process ends")
            self.fail(error)

    def _take(self, record: ConsumerRecord, new: dict[Run, _Running]) -> None:
        place = (TopicPartition(record.topic, record.partition), record.offset)
        self._offsets.taken(*place)
        recorded = _recorded(record)
        event = None if recorded is None else _event_of(recorded)
        if recorded is None or not isinstance(event, TaskAssigned):
            self._called_off(event)
            self._offsets.finished(*place)
            return
        run = Run(event.task_id, event.attempt)
        known = self._running.get(run) or new.get(run)
        if known is not None:
            known.records.append(place)
        elif event.deadline_at <= datetime.now(UTC):
            self._offsets.finished(*place)
        else:
            new[run] = _Running(recorded, event, [place])

    def _called_off(self, event: Event | None) -> None:
        """The attempt is not wanted any more: its run here stops."""
        if isinstance(event, TaskReassigned):
            self._stop_run(Run(event.task_id, event.attempt - 1))
        elif isinstance(event, TaskCancelled | TaskTimedOut):
            self._stop_run(Run(event.task_id, event.attempt))

    def _stop_run(self, run: Run) -> None:
        running = self._running.get(run)
        if running is not None:
            running.cancelled.set()
            if running.work is not None:
                running.work.cancel()

    def _begin(self, run: Run, running: _Running, claim: Claim) -> None:
        if claim.answer is Answer.HELD:
            self._end(running)
            return
        self._running[run] = running
        work = self._tell_again(running, claim) if claim.answer is Answer.FINISHED else self._run(running)
        running.work = asyncio.create_task(work, name=f"run-{run.task_id}-{run.attempt}")
        running.work.add_done_callback(lambda done: self._ended(run, running, done))

    def _ended(self, run: Run, running: _Running, done: asyncio.Task[None]) -> None:
        self._running.pop(run, None)
        given_back = done.cancelled() and not running.cancelled.is_set()
        if not done.cancelled() and done.exception() is not None:
            self.fail(RuntimeError(f"a run of {self.name} died: {done.exception()!r}"))
            return
        if not given_back and not self._over.is_set():
            self._end(running)
        self._resume_when_free()

    def _end(self, running: _Running) -> None:
        for partition, offset in running.records:
            self._offsets.finished(partition, offset)

    # -- runs ------------------------------------------------------------------------------------------------------------------------

    async def _run(self, running: _Running) -> None:
        task = task_of(running.event)
        slots = self._slots.setdefault(task.agent_id, asyncio.Semaphore(self._agent.concurrency))
        claim = RunClaim(task.tenant_id, task.task_id, task.attempt, self.identity)
        context = context_of(
            task,
            TenantMemory(self._knowledge, task.tenant_id),
            self._effects.of_run(claim),
            running.cancelled,
            rules=self._agent.rules,
            outside=self._outside,
            metrics=self.telemetry.metrics,
        )
        observed = ObservedAttempt(self.telemetry, self._topic, running.assigned.metadata.traceparent)
        async with slots:
            await agent_run(self._agent, task, context, lambda result: self._tell(running, result, observed), observed)

    async def _tell(self, running: _Running, result: RunResult, observed: ObservedAttempt) -> None:
        metadata = envelope_of(result, task_of(running.event), running.assigned, self._source, observed.traceparent)
        if not result.ends:
            # Nothing depends on when it is heard, so the agent does not wait for the broker.
            self._outbox.post(Outgoing(result.command, metadata, None))
            return
        running.telling = True
        await self._outbox.send(Outgoing(result.command, metadata, Run(running.event.task_id, running.event.attempt)))

    async def _tell_again(self, running: _Running, claim: Claim) -> None:
        """The result was recorded, by us or by a host that died since; whoever gets it twice absorbs it."""
        running.telling = True
        if claim.result_type is None or claim.result is None:
            return
        command: Any = COMMANDS[claim.result_type].model_validate(claim.result)
        metadata = envelope_of(RunResult(command, "end", ends=True), task_of(running.event), running.assigned, self._source)
        await self._outbox.send(Outgoing(command, metadata, None))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / RENEWALS_PER_LEASE)
            held = list(self._running)
            if not held:
                continue
            try:
                ours = await self.retry(self._over, beside=True)("renew leases", lambda: self._runs.renew(held))  # noqa: B023
            except Abandoned:
                return
            for run in held:
                if run not in ours and run in self._running and not self._running[run].telling:
                    logger.warning("the lease of %s, attempt %d, was lost; its run stops", run.task_id, run.attempt)
                    self._stop_run(run)

    # -- flow ------------------------------------------------------------------------------------------------------------------------

    def _pause_when_full(self) -> None:
        if not self._paused and len(self._running) >= self._most:
            consumer = self._subscription.consumer
            consumer.pause(*consumer.assignment())
            self._paused = True

    def _resume_when_free(self) -> None:
        if self._paused and len(self._running) < self._most // 2 and not self.stopping.is_set():
            consumer = self._subscription.consumer
            consumer.resume(*consumer.assignment())
            self._paused = False


def _recorded(record: ConsumerRecord) -> RecordedEvent | None:
    """The envelope of a work record; None for a record that has none, which only a stranger can have written."""
    try:
        return parse_event(record.key, record.value, record.headers, record.timestamp, CONTEXT)
    except UnreadableEnvelope as error:
        logger.error("a record at %s/%d/%d is no event: %s", record.topic, record.partition, record.offset, error)
        return None


def _event_of(recorded: RecordedEvent) -> Event | None:
    try:
        return recorded.event()
    except Exception:  # whatever a stranger writes must not stop the host
        logger.exception("an event of type %s on the work topic cannot be read", recorded.metadata.type_name)
        return None
