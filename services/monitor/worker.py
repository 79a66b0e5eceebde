"""The monitor worker: committed offsets, checkpoints, relay positions and read models in, gauges out; one leads, the others stand by and
tell nothing; run by `agentmesh run monitor`.

What a worker tells of itself ends with it. This one looks from outside, so that the lag of a worker that is dead is seen, and grows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from contracts.topics import CONTEXTS
from infra.errors import TransientError
from infra.lags.base import Parked, Partition, RelayedLog
from infra.lags.kafka import KafkaTopics
from infra.lags.postgres import PostgresLogs
from infra.rebuild_orders.base import OrderState, RebuildOrder, RebuildOrders
from infra.rebuild_orders.postgres import PostgresRebuildOrders
from infra.runtime.leading_worker import LeadingWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from projections.approvals.queries import waiting_approvals
from projections.catalogue import read_models
from projections.listing import Waiting
from projections.requests.queries import open_requests
from projections.tasks.queries import tasks_not_started
from services.monitor.followers import Kind, Lag, Looks, consumer_groups, of_checkpoints, of_groups
from services.monitor.settings import MonitorSettings

logger = logging.getLogger(__name__)

NAME = "monitor"
MOST_CONNECTIONS = 4
REQUEST, TASK, APPROVAL = "request", "task", "approval"
# Orders of rebuilds that somebody may have to look at, and since when they are so.
ORDERS_SINCE = {
    OrderState.WAITING: attrgetter("ordered_at"),
    OrderState.RUNNING: attrgetter("started_at"),
    OrderState.FAILED: attrgetter("finished_at"),
}
Lags = Mapping[tuple[Kind, str], Lag]


class MonitorWorker(LeadingWorker):
    """Tells how far everybody is behind, what waits and what is parked. It writes nothing, so two leaders for a moment do no harm."""

    def __init__(self, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._own = MonitorSettings()
        # A look every few seconds is no reason to keep a pool of connections open.
        few = {"pool_min_size": min(settings.pool_min_size, 1), "pool_max_size": min(settings.pool_max_size, MOST_CONNECTIONS)}
        super().__init__(NAME, CONTEXTS, settings.model_copy(update=few), telemetry, leader_poll_seconds=self._own.leader_poll_seconds)
        self._logs = PostgresLogs(self.database, self.stores)
        self._orders: RebuildOrders = PostgresRebuildOrders(self.database)
        self._read_models = {model.name: model.contexts for model in read_models()}
        self._topics = KafkaTopics(settings, f"agentmesh-{NAME}")
        self._looks = Looks()
        self._known: Mapping[str, int] = {}
        self._known_at = 0.0

    def required_topics(self) -> Collection[str]:
        """None of its own: a topic that is missing is its worker's to tell."""
        return ()

    async def lead(self) -> None:
        """Look from time to time. What is told ends with the leadership."""
        self.telemetry.metrics.monitor_leader.set(1)
        self._looks, self._known = Looks(), {}
        try:
            while not self.stopping.is_set() and await self.leader.still_leads():
                self.attempted()
                await self._look()
                self.succeeded()
                await self.pause(self._own.interval_seconds)
        finally:
            self._forget()

    async def drain(self) -> None:
        """End the look in work, and ask Kafka no more."""
        await super().drain()
        await self._topics.close()

    async def _look(self) -> None:
        """One look at everything. While Kafka is away, what needs it is not told; all else is."""
        most = self._own.most_counted
        relayed, parked, waiting, orders, behind = await asyncio.gather(
            self._logs.relayed(), self._logs.parked(most), self._waiting(most), self._orders.latest(), self._behind()
        )
        self._show_lags({**_of_relays(relayed), **behind})
        self._show_waiting(waiting)
        self._show_parked(parked)
        self._show_orders(orders.values())

    async def _waiting(self, most: int) -> Mapping[str, Waiting]:
        requests, tasks, approvals = await asyncio.gather(
            open_requests(self.database, most), tasks_not_started(self.database, most), waiting_approvals(self.database, most)
        )
        return {REQUEST: requests, TASK: tasks, APPROVAL: approvals}

    async def _behind(self) -> Lags:
        checkpoints = await self._logs.checkpoints()
        try:
            return await self._compare(checkpoints)
        except TransientError as error:
            logger.warning("lags of the followers of topics are not known: %s", error)
            self._looks, self._known = Looks(), {}
            return {}

    async def _compare(self, checkpoints: Mapping[str, Mapping[Partition, int]]) -> Lags:
        topics, prefix = await self._known_topics(), self.settings.topic_prefix
        groups = consumer_groups(CONTEXTS, topics, prefix)
        followers = of_checkpoints(self._read_models, checkpoints, topics, prefix)
        followers += of_groups(groups, await self._topics.committed(groups))
        # The ends last: who goes on meanwhile is not behind by less than nothing.
        ends = await self._topics.ends({partition for follower in followers for partition in follower.places})
        beginnings = await self._topics.beginnings(self._looks.perhaps_deleted(followers, ends))
        unknown = self._looks.compare(followers, ends, beginnings)
        times = await self._topics.times(unknown) if unknown else {}
        return self._looks.lags(times, time.time())

    async def _known_topics(self) -> Mapping[str, int]:
        """Nothing else is asked about: one topic that is not there would leave all questions about ends without an answer."""
        if not self._known or time.monotonic() - self._known_at > self._own.topics_seconds:
            self._known, self._known_at = await self._topics.topics(), time.monotonic()
        return self._known

    # -- telling ---------------------------------------------------------------------------------------------------------------------

    def _show_lags(self, lags: Lags) -> None:
        metrics = self.telemetry.metrics
        metrics.lag_messages.replace({(kind.value, name): lag.messages for (kind, name), lag in lags.items()})
        metrics.lag_seconds.replace({(kind.value, name): lag.seconds for (kind, name), lag in lags.items()})

    def _show_waiting(self, waiting: Mapping[str, Waiting]) -> None:
        metrics = self.telemetry.metrics
        metrics.waiting.replace({(kind,): found.count for kind, found in waiting.items()})
        metrics.oldest_waiting_seconds.replace({(kind,): found.oldest_seconds for kind, found in waiting.items()})
        metrics.approvals_pending.set(waiting[APPROVAL].count)

    def _show_parked(self, parked: Sequence[Parked]) -> None:
        metrics = self.telemetry.metrics
        nothing = [Parked(f"projection:{name}", 0, 0, 0.0) for name in self._read_models]
        by_name = {each.name: each for each in (*nothing, *parked)}
        metrics.parked_keys.replace({(name,): each.keys for name, each in by_name.items()})
        metrics.parked_records.replace({(name,): each.records for name, each in by_name.items()})
        metrics.oldest_parked_seconds.replace({(name,): each.oldest_seconds for name, each in by_name.items()})

    def _show_orders(self, orders: Collection[RebuildOrder]) -> None:
        metrics, now = self.telemetry.metrics, time.time()
        ages = {
            state: [max(0.0, now - since(order).timestamp()) for order in orders if order.state is state]
            for state, since in ORDERS_SINCE.items()
        }
        metrics.rebuild_orders.replace({(state,): len(found) for state, found in ages.items()})
        metrics.oldest_rebuild_order_seconds.replace({(state,): max(found, default=0.0) for state, found in ages.items()})

    def _forget(self) -> None:
        """Another may lead now: what was told here is not true any more."""
        metrics = self.telemetry.metrics
        metrics.monitor_leader.set(0)
        metrics.approvals_pending.set(0)
        for gauge in (
            metrics.lag_messages,
            metrics.lag_seconds,
            metrics.waiting,
            metrics.oldest_waiting_seconds,
            metrics.parked_keys,
            metrics.parked_records,
            metrics.oldest_parked_seconds,
            metrics.rebuild_orders,
            metrics.oldest_rebuild_order_seconds,
        ):
            gauge.clear()


def _of_relays(logs: Sequence[RelayedLog]) -> dict[tuple[Kind, str], Lag]:
    now = time.time()
    return {
        (Kind.RELAY, log.context): Lag(
            max(0, log.head - log.relayed), 0.0 if log.waiting_since is None else max(0.0, now - log.waiting_since.timestamp())
        )
        for log in logs
    }


def build(settings: MeshSettings, telemetry: Telemetry) -> MonitorWorker:
    """The monitor of the whole mesh."""
    return MonitorWorker(settings, telemetry)
