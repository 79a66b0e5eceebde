"""Makes the work topic of each kind of agents, before the first record that needs it; used by the relay."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from pydantic_core import from_json

from contracts.agents.events import AgentCreated
from contracts.envelope import decode_stored
from contracts.topics import WORK_EVENTS, work_topic_spec
from infra.event_store.base import LogEntry
from infra.kafka.topics import create_topics
from infra.settings import MeshSettings

logger = logging.getLogger(__name__)

KINDS_FROM = WORK_EVENTS | {AgentCreated.type_name}


class WorkTopics:
    """The work topics that are known to be there."""

    def __init__(self, settings: MeshSettings) -> None:
        self._settings = settings
        self._made: set[str] = set()

    async def make_for(self, page: Sequence[LogEntry]) -> None:
        """Make the topics that a page needs. Raises TransientError when the broker is away; it is then asked again."""
        missing = kinds_of(page) - self._made
        if not missing:
            return
        specs = [work_topic_spec(kind, self._settings.partitions) for kind in sorted(missing)]
        made = await create_topics(self._settings.kafka_bootstrap, specs, self._settings.topic_prefix)
        if made:
            logger.info("made work topics: %s", ", ".join(made))
        self._made |= missing


def kinds_of(page: Iterable[LogEntry]) -> set[str]:
    """The kinds of agents that a page names."""
    kinds = set()
    for entry in page:
        # A parked record has whatever type its sender gave it, and no stored event.
        if entry.kind == "event" and entry.type_name in KINDS_FROM:
            _, data = decode_stored(entry.type_name, entry.aggregate_id, entry.state)
            kinds.add(str(from_json(data)["kind"]))
    return kinds
