"""How the read models are, from what their tables hold; asked by the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.topics import CONTEXTS, events_topic
from infra.event_store.heads import LogHeads
from infra.positions.base import ContextState, Followed, ReadModelState
from infra.positions.watched import Seen, WatchedPositions
from infra.postgres.pool import Database

BUILT = b"""
SELECT m.projection, m.version, m.built_at, (SELECT count(*) FROM mesh.parked_events p WHERE p.projection = m.projection)
FROM mesh.read_models m ORDER BY m.projection
"""
TOPICS = b"SELECT DISTINCT projection, topic FROM mesh.checkpoints"


class PostgresReadModelStates:
    """See the port. A read model that nobody has begun to follow yet has no contexts."""

    def __init__(self, database: Database, positions: WatchedPositions, topic_prefix: str) -> None:
        self._database = database
        self._positions = positions
        self._heads = LogHeads(database, CONTEXTS)
        self._context_of: Mapping[str, str] = {topic_prefix + events_topic(context): context for context in CONTEXTS}

    async def all(self) -> Sequence[ReadModelState]:
        """See the port."""
        built = await self._database.fetch(BUILT, {})
        names = {row[0] for row in built}
        topics = sorted(await self._database.fetch(TOPICS, {}))
        followed = [Followed(name, self._context_of[topic]) for name, topic in topics if name in names and topic in self._context_of]
        # The heads last: a log grows on while the positions are asked for, and is then at least there.
        found = await self._positions.now(followed)
        heads = await self._heads.look()
        return [
            ReadModelState(
                name=name,
                version=version,
                built_at=built_at,
                parked=parked,
                contexts=tuple(_state(each.context, seen, heads[each.context]) for each, seen in found.items() if each.read_model == name),
            )
            for name, version, built_at, parked in built
        ]


def _state(context: str, seen: Seen, head: int) -> ContextState:
    lag = None if seen.unread is None else seen.unread + max(0, head - seen.relayed)
    return ContextState(context, min(seen.positions), head, lag)
