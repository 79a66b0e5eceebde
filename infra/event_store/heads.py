"""The last positions of several contexts' logs, from one query: what an idle relay or dispatcher asks all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from infra.postgres.pool import Database
from infra.telemetry.spans import without_span

LOOK_SECONDS = 5.0


class LogHeads:
    """Who asks while another is being answered shares the answer, which may be that much older: the next look sees the rest.

    So loops that wait for the same time fall into step, and cost one query together.
    """

    def __init__(self, database: Database, contexts: Sequence[str]) -> None:
        self._database = database
        self._contexts = tuple(contexts)
        columns = [f"(SELECT position FROM {context}.log_head)" for context in contexts]  # nosec B608 - the names of contexts are fixed
        self._query = f"SELECT {', '.join(columns)}".encode()
        self._asking: asyncio.Task[Mapping[str, int]] | None = None

    async def look(self) -> Mapping[str, int]:
        """By context; 0 for an empty log. Raises TransientError when the database is away."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="log-heads", context=without_span())
            self._asking.add_done_callback(_seen)
        return await asyncio.shield(self._asking)

    async def of(self, context: str) -> int:
        """That of one log."""
        return (await self.look())[context]

    async def _ask(self) -> Mapping[str, int]:
        row = await self._database.fetch_one(self._query, {}, timeout=LOOK_SECONDS)
        return dict(zip(self._contexts, (int(head or 0) for head in row or [0] * len(self._contexts)), strict=True))


def _seen(asking: asyncio.Task[Mapping[str, int]]) -> None:
    """Its error was told to those who waited; where nobody waits any more it is nobody's."""
    if not asking.cancelled():
        asking.exception()
