"""Orders of rebuilds in Postgres, in the table `mesh.rebuild_orders`; see the ports for what each call promises."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.rebuild_orders.base import Failure, NewOrder, OrderState, RebuildOrder

SQL = "infra.rebuild_orders.sql"
MESSAGE_CHARACTERS = 2_000
COLUMNS = ", ".join("projection" if each.name == "read_model" else each.name for each in fields(RebuildOrder))


def _sql(name: str) -> bytes:
    return read_sql(SQL, name).replace(b"{columns}", COLUMNS.encode())


class PostgresRebuildOrders:
    """Both ports. What a worker writes counts only while the order is the one that it took: `taken_by` is new each time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._place, self._find, self._latest = _sql("place.sql"), _sql("find.sql"), _sql("latest.sql")
        self._waits, self._take = _sql("waits.sql"), _sql("take.sql")
        self._tell, self._settle = _sql("tell.sql"), _sql("settle.sql")

    async def place(self, new: NewOrder) -> RebuildOrder | None:
        """See the port."""
        values = {name: getattr(new, name) for name in ("order_id", "read_model", "ordered_by", "tenant_id", "key")}
        row = await self._database.fetch_one(self._place, values)
        return None if row is None else _order(row)

    async def find(self, read_model: str, order_id: str) -> RebuildOrder | None:
        """See the port."""
        row = await self._database.fetch_one(self._find, {"read_model": read_model, "order_id": order_id})
        return None if row is None else _order(row)

    async def latest(self) -> Mapping[str, RebuildOrder]:
        """See the port."""
        return {order.read_model: order for order in map(_order, await self._database.fetch(self._latest, {}))}

    async def waits(self, read_models: Collection[str]) -> bool:
        """See the port."""
        return await self._database.fetch_one(self._waits, {"read_models": list(read_models)}) is not None

    async def take(self, read_models: Collection[str], worker: str) -> RebuildOrder | None:
        """See the port."""
        row = await self._database.fetch_one(self._take, {"read_models": list(read_models), "worker": worker})
        return None if row is None else _order(row)

    async def tell(self, order: RebuildOrder, done: int, total: int, events: int) -> bool:
        """See the port."""
        values = {"order_id": order.order_id, "worker": order.taken_by, "done": done, "total": total, "events": events}
        return await self._database.execute(self._tell, values) == 1

    async def give_back(self, order: RebuildOrder) -> None:
        """See the port."""
        await self._settled(order, OrderState.WAITING, counted=False)

    async def finish(self, order: RebuildOrder, done: int, events: int) -> None:
        """See the port."""
        await self._settled(order, OrderState.DONE, done=done, events=events)

    async def fail(self, order: RebuildOrder, failure: Failure, message: str) -> None:
        """See the port."""
        await self._settled(order, OrderState.FAILED, failure=failure.value, message=message[:MESSAGE_CHARACTERS])

    async def _settled(self, order: RebuildOrder, state: OrderState, **given: Any) -> None:
        nothing = {"counted": True, "done": None, "events": None, "failure": None, "message": None}
        values = {**nothing, **given, "order_id": order.order_id, "worker": order.taken_by, "state": state.value}
        await self._database.execute(self._settle, values)


def _order(row: Sequence[Any]) -> RebuildOrder:
    values = dict(zip((each.name for each in fields(RebuildOrder)), row, strict=True))
    failure = values["failure"]
    return RebuildOrder(**{**values, "state": OrderState(values["state"]), "failure": None if failure is None else Failure(failure)})
