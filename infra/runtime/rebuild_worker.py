"""The worker of rebuilds: orders in, read models built anew out, one at a time in the whole mesh, beside the projections of its process;
run by `agentmesh run projections`.

An order whose worker died is begun anew by the next one: what is half built is in a schema of its own, which nobody reads.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Collection, Mapping, Sequence

from infra.cache.once import drop_cached
from infra.errors import MeshError, TransientError
from infra.postgres.leader import AdvisoryLeader
from infra.read_models.base import ReadModel
from infra.read_models.rebuild import Pace, Rebuild, RebuildDiffers, RebuildReport, RebuildRuns
from infra.rebuild_orders.base import Failure, OpenOrders, RebuildOrder
from infra.rebuild_orders.postgres import PostgresRebuildOrders
from infra.rebuild_orders.settings import RebuildSettings
from infra.resilience.retry import delay_ms
from infra.runtime.connected_worker import ConnectedWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry

logger = logging.getLogger(__name__)

NAME = "projections.rebuilds"
# Of the whole mesh, so that not every read model is built anew at once.
LEADER = "rebuilds"
# An order that was broken off so often, by the death of its worker or by a server that went away, is the likely cause.
MOST_ATTEMPTS = 5
# It reads, writes and holds its locks on one each; orders and health checks need some too.
MOST_CONNECTIONS = 6


class RebuildWorker(ConnectedWorker):
    """Carries out the orders of these read models."""

    def __init__(
        self, models: Sequence[ReadModel], settings: MeshSettings, telemetry: Telemetry, own: RebuildSettings | None = None
    ) -> None:
        few = {"pool_min_size": min(1, settings.pool_min_size), "pool_max_size": MOST_CONNECTIONS}
        contexts = sorted({context for model in models for context in model.contexts})
        super().__init__(NAME, contexts, settings.model_copy(update=few), telemetry)
        self._models: Mapping[str, ReadModel] = {model.name: model for model in models}
        self._orders: OpenOrders = PostgresRebuildOrders(self.database)
        self._leader = AdvisoryLeader(settings.postgres_dsn, settings.topic_prefix + LEADER)
        self._own = own or RebuildSettings()
        # Few events at a time, so that the projections of this process are held up for milliseconds only.
        self._pace = Pace(self._own.page, self._own.share)
        self._ended = asyncio.Event()
        self._ended.set()

    def required_topics(self) -> Collection[str]:
        """None: a rebuild reads the store."""
        return ()

    async def run(self) -> None:
        """Look for orders from time to time."""
        self._ended.clear()
        self.working = True
        failures = 0
        try:
            while not self.stopping.is_set():
                self.attempted()
                try:
                    await self._work_off()
                    failures = 0
                    await self.pause(self._own.poll_seconds)
                except TransientError as error:
                    failures += 1
                    self.telemetry.metrics.retries_total.labels(name=self.name).inc()
                    logger.warning("%s begins anew: %s", self.name, error)
                    await self.pause(delay_ms(failures) / 1000)
        finally:
            await self._leader.release()
            self._ended.set()

    async def drain(self) -> None:
        """The rebuild that runs is given up, and its order waits for another worker."""
        await self._ended.wait()

    async def _work_off(self) -> None:
        """Carry out orders while there are any, if nobody else does."""
        if not await self._orders.waits(self._models) or not await self._leader.try_lead():
            return
        try:
            while not self.stopping.is_set() and await self._leader.still_leads():
                # A name that is new each time: what an earlier attempt of this very worker still writes does not count.
                order = await self._orders.take(self._models, f"{self.identity}-{uuid.uuid4().hex[:8]}")
                if order is None or not await self._carry_out(order):
                    return
        finally:
            await self._leader.release()

    async def _carry_out(self, order: RebuildOrder) -> bool:
        """Build, and note what came of it. False when the order had to be left for later."""
        name, about = order.read_model, {"projection": order.read_model, "order_id": order.order_id}
        if order.attempts > MOST_ATTEMPTS:
            logger.error("a rebuild is given up", extra=about)
            await self._orders.fail(order, Failure.GIVEN_UP, f"{MOST_ATTEMPTS} times it was begun and broken off: see its workers' log.")
            return True
        logger.info("a rebuild begins", extra={**about, "attempt": order.attempts})
        model = self._models[name]
        stores = {context: self.stores[context] for context in model.contexts}
        work = Rebuild(self.database, model, stores, self.settings.partitions, self.settings.topic_prefix, pace=self._pace)
        try:
            report = await self._built(order, work)
        except RebuildRuns as error:  # by the CLI, or by a worker that does not know yet that it leads no more
            logger.info("a rebuild waits: %s", error, extra=about)
            await self._orders.give_back(order)
            return False
        except TransientError:
            raise  # it stays this worker's until somebody takes it anew
        except MeshError as error:
            logger.error("a rebuild failed: %s", error, extra=about)
            await self._orders.fail(order, Failure.DIFFERS if isinstance(error, RebuildDiffers) else Failure.REFUSED, str(error))
            return True
        except Exception as error:
            logger.exception("a rebuild failed by a defect", extra=about)
            await self._orders.fail(order, Failure.REFUSED, f"A defect: {type(error).__name__}: {error}")
            return True
        if report is None:
            await self._orders.give_back(order)
            return False
        await self._drop_cached(model)
        await self._orders.finish(order, work.positions, report.events)
        logger.info("a rebuild is done", extra={**about, "events": report.events, "rows": report.rows, "seconds": round(report.seconds, 3)})
        return True

    async def _built(self, order: RebuildOrder, work: Rebuild) -> RebuildReport | None:
        """What was built; None when this worker is to stop, or the order is another's by now."""
        place = [0, 0]

        def progress(done: int, of: int) -> None:
            place[:] = done, of

        building = asyncio.create_task(work.run(progress), name=f"rebuild-{order.read_model}")
        stopping = asyncio.create_task(self.stopping.wait(), name="rebuild-stop")
        try:
            while not building.done() and not self.stopping.is_set():
                # Its statements have time limits of their own, so that it does not hang behind this.
                self.attempted()
                await asyncio.wait({building, stopping}, timeout=self._own.poll_seconds, return_when=asyncio.FIRST_COMPLETED)
                if building.done() or self.stopping.is_set():
                    break
                if not await self._orders.tell(order, place[0], place[1], work.events):
                    logger.warning("a rebuild is another's by now", extra={"order_id": order.order_id})
                    return None
            return building.result() if building.done() else None
        finally:
            stopping.cancel()
            building.cancel()
            await asyncio.gather(building, stopping, return_exceptions=True)

    async def _drop_cached(self, model: ReadModel) -> None:
        """What the cache has of the rows before goes."""
        try:
            await drop_cached(model.name, self.settings)
        except MeshError as error:
            logger.warning("the cache may show what was before until its entries end, after an hour at most: %s", error)
