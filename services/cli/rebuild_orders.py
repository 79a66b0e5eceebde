"""Rebuilds by order for a person: an order placed and followed to its end; the work behind `projections rebuild --by-worker`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from infra.rebuild_orders.base import NewOrder, OrderState, RebuildOrder
from infra.rebuild_orders.postgres import PostgresRebuildOrders
from services.cli.errors import NotFound, Refused
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json, tell
from services.cli.publishing import operating_user

LOOK_SECONDS = 0.5
TAKEN_SECONDS = 10.0
NOBODY = "No worker has taken the order yet. It waits until one runs: agentmesh run projections"


def shown(order: RebuildOrder | None) -> dict[str, Any] | None:
    """An order as JSON."""
    return None if order is None else {name: value for name, value in asdict(order).items() if name not in ("read_model", "taken_by")}


def in_words(order: RebuildOrder | None) -> str:
    """What a list says of the order of a read model; nothing of one that is done."""
    if order is None or order.state is OrderState.DONE:
        return ""
    if order.state is OrderState.FAILED:
        return f"rebuild failed ({order.failure})"
    done = f" {100 * order.done // order.total} %" if order.total else ""
    return f"rebuild {order.state.value}{done}"


async def order(name: str, output: Output, progress: Callable[[int, int], None]) -> None:
    """Place the order and follow it. Raises NotFound for an unknown read model, Refused when the rebuild fails."""
    async with open_mesh() as mesh:
        orders = PostgresRebuildOrders(mesh.database)
        new = NewOrder(str(uuid.uuid4()), name, operating_user())
        found = await orders.place(new)
        if found is None:
            raise NotFound(f"There is no read model {name!r} in this database: agentmesh projections list")
        joined = found.order_id != new.order_id
        tell(f"order {found.order_id} {'stands already' if joined else 'is placed'}; it goes on when this command ends")
        found = await _followed(orders, found, progress)
    if found.state is OrderState.FAILED:
        raise Refused(f"The rebuild failed ({found.failure}): {found.message}")
    if output is Output.JSON:
        print_json(shown(found))
    else:
        print_facts({"projection": found.read_model, "order": found.order_id, "events": found.events, "attempts": found.attempts})


async def _followed(orders: PostgresRebuildOrders, found: RebuildOrder, progress: Callable[[int, int], None]) -> RebuildOrder:
    waited = 0.0
    while not found.is_over:
        await asyncio.sleep(LOOK_SECONDS)
        found = await orders.find(found.read_model, found.order_id) or found
        waited += LOOK_SECONDS
        if found.state is OrderState.WAITING and waited == TAKEN_SECONDS:
            tell(NOBODY)
        if found.total is not None:
            progress(found.done, found.total)
    return found
