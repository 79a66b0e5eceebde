"""The ports to orders of rebuilds: the gateway and the CLI place them and look at them, the worker of rebuilds takes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class OrderState(StrEnum):
    """What became of an order; `done` and `failed` are final."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Failure(StrEnum):
    """Why an order failed. In each case the read model shows what it showed before."""

    DIFFERS = "differs"
    """The rebuilt rows are not equal to the live ones."""
    REFUSED = "refused"
    """It cannot be built as things are set up, or a defect of its functions is in the way."""
    GIVEN_UP = "given_up"
    """It was begun as often as it may be, and broken off each time: its worker died, or a server went away."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order that somebody places. Two with the same key are one and the same order, whenever the second comes."""

    order_id: str
    read_model: str
    ordered_by: str
    tenant_id: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class RebuildOrder:
    """An order and how far it is. `done` of `total` positions of the logs are folded into the new tables, `events` events among them;
    `total` is None before it is begun. `message` is for the operator, and may name rows of any tenant."""

    order_id: str
    read_model: str
    state: OrderState
    ordered_by: str
    tenant_id: str | None
    ordered_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    taken_by: str | None
    done: int
    total: int | None
    events: int
    failure: Failure | None
    message: str | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state in (OrderState.DONE, OrderState.FAILED)


class RebuildOrders(Protocol):
    """Places orders and tells of them. Every method raises TransientError when the database cannot be reached."""

    async def place(self, new: NewOrder) -> RebuildOrder | None:
        """The order: this one, or the one of the same read model that waits or runs already, or the one that the key stands for.
        None where there is no such read model."""
        ...

    async def find(self, read_model: str, order_id: str) -> RebuildOrder | None:
        """This order of this read model, or None."""
        ...

    async def latest(self) -> Mapping[str, RebuildOrder]:
        """The order of each read model that was placed last."""
        ...


class OpenOrders(Protocol):
    """What the worker of rebuilds does with orders. Every method raises TransientError when the database cannot be reached."""

    async def waits(self, read_models: Collection[str]) -> bool:
        """Whether one of these read models has an order that is not over."""
        ...

    async def take(self, read_models: Collection[str], worker: str) -> RebuildOrder | None:
        """The oldest order that is not over, begun anew as this worker's. Only for whoever leads: one that runs is taken from its worker,
        which must be gone."""
        ...

    async def tell(self, order: RebuildOrder, done: int, total: int, events: int) -> bool:
        """Note how far it is. False when the order is not this worker's any more."""
        ...

    async def give_back(self, order: RebuildOrder) -> None:
        """Let it wait again, as if it had not been begun this time."""
        ...

    async def finish(self, order: RebuildOrder, done: int, events: int) -> None:
        """It is done."""
        ...

    async def fail(self, order: RebuildOrder, failure: Failure, message: str) -> None:
        """It failed, and is not tried again."""
        ...
