"""Waits for what becomes of commands: their recorded outcomes, and the read model that shows them; used by gateway and CLI."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from contracts.envelope import decode_stored
from contracts.rejections import CommandRejected
from contracts.upcasting import decode_event
from infra.errors import TransientError
from infra.event_store.base import EventStore, Outcome
from infra.outcomes.base import Versions
from infra.telemetry.spans import without_span

FIRST_WAIT_SECONDS = 0.02
MOST_WAIT_SECONDS = 0.5
# Of a watch that many share: a look costs a statement, however many wait.
FIRST_LOOK_SECONDS = 0.005
MOST_LOOK_SECONDS = 0.025
GROWTH = 1.3

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


async def poll(look: Callable[[], Awaitable[T | None]], deadline: float) -> T | None:
    """The first answer that is not None, or None at the deadline (of `time.monotonic`); looks ever more rarely."""
    wait = FIRST_WAIT_SECONDS
    while True:
        found = await look()
        left = deadline - time.monotonic()
        if found is not None or left <= 0:
            return found
        await asyncio.sleep(min(wait, left))
        wait = min(wait * GROWTH, MOST_WAIT_SECONDS)


async def wait_for_outcome(store: EventStore, aggregate_id: str, command_id: str, deadline: float) -> Outcome | None:
    """The recorded outcome of one command; None when there is none by the deadline."""
    pair = (aggregate_id, command_id)

    async def look() -> Outcome | None:
        return (await store.outcomes([pair])).get(pair)

    return await poll(look, deadline)


async def rejection_at(store: EventStore, position: int) -> CommandRejected | None:
    """The rejection at a position of the context's log."""
    for entry in await store.read_log(position - 1, 1):
        if entry.position == position and entry.kind == "rejection":
            return decode_rejection(entry.type_name, entry.aggregate_id, entry.state)
    return None


def decode_rejection(type_name: str, aggregate_id: str, state: bytes) -> CommandRejected | None:
    """The rejection in its stored form."""
    _, data = decode_stored(type_name, aggregate_id, state)
    event = decode_event(type_name, data)
    return event if isinstance(event, CommandRejected) else None


class SharedWatch(Generic[K, V]):
    """Asks one question for all who wait, again and again, ever more rarely until somebody new comes; nobody waits, nothing is asked.

    While the server that is asked is away the watch goes on asking: who waits is told at their deadline.
    """

    def __init__(self, look: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._look = look
        self._waiting: dict[K, list[tuple[Callable[[V], bool], asyncio.Future[V]]]] = defaultdict(list)
        self._pause = FIRST_LOOK_SECONDS
        self._watch: asyncio.Task[None] | None = None

    async def wait(self, key: K, deadline: float, accept: Callable[[V], bool] = lambda _: True) -> V | None:
        """The first value found for `key` that is accepted; None at the deadline."""
        found: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        entry = (accept, found)
        self._waiting[key].append(entry)
        self._pause = FIRST_LOOK_SECONDS
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._ask(), name="shared-watch", context=without_span())
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await found
        except TimeoutError:
            return None
        finally:
            self._forget(key, entry)

    def _forget(self, key: K, entry: tuple[Callable[[V], bool], asyncio.Future[V]]) -> None:
        entries = self._waiting[key]
        if entry in entries:
            entries.remove(entry)
        if not entries:
            del self._waiting[key]

    async def _ask(self) -> None:
        while self._waiting:
            try:
                answers = await self._look(list(self._waiting))
            except TransientError:
                answers = {}
            except Exception as error:  # a bug: whoever waits is told, and the next one who comes starts anew
                self._break(error)
                return
            for key, value in answers.items():
                for accept, found in self._waiting.get(key, ()):
                    if not found.done() and accept(value):
                        found.set_result(value)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * GROWTH, MOST_LOOK_SECONDS)

    def _break(self, error: Exception) -> None:
        for entries in self._waiting.values():
            for _, found in entries:
                if not found.done():
                    found.set_exception(error)

    async def close(self) -> None:
        """Ask no more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)


class StoreOutcomes:
    """The outcomes in the event stores of some contexts."""

    def __init__(self, stores: Mapping[str, EventStore]) -> None:
        self._stores = stores
        self._watches = {context: SharedWatch(store.outcomes) for context, store in stores.items()}

    async def find(self, context: str, aggregate_id: str, command_id: str) -> Outcome | None:
        """The outcome that is recorded by now, or None."""
        pair = (aggregate_id, command_id)
        return (await self._stores[context].outcomes([pair])).get(pair)

    async def wait(self, context: str, aggregate_id: str, command_id: str, deadline: float) -> Outcome | None:
        """The outcome, as soon as it is recorded; None at the deadline."""
        return await self._watches[context].wait((aggregate_id, command_id), deadline)

    async def rejection(self, context: str, outcome: Outcome) -> CommandRejected | None:
        """Why a command was rejected."""
        return None if outcome.position is None else await rejection_at(self._stores[context], outcome.position)

    async def tenant_of(self, context: str, aggregate_id: str) -> str | None:
        """Whose aggregate it is; None where there is none."""
        stream = await self._stores[context].read_stream(aggregate_id)
        return stream[0].metadata.tenant_id if stream else None

    async def close(self) -> None:
        """Ask no more."""
        for watch in self._watches.values():
            await watch.close()


class WatchedVersions:
    """Waits until a read model shows a version, on one question for all who wait."""

    def __init__(self, versions: Versions) -> None:
        self._watch: SharedWatch[str, int] = SharedWatch(versions)

    async def wait(self, aggregate_id: str, version: int, deadline: float) -> bool:
        """True as soon as at least `version` is shown; False at the deadline."""
        return await self._watch.wait(aggregate_id, deadline, lambda shown: shown >= version) is not None

    async def close(self) -> None:
        """Ask no more."""
        await self._watch.close()
