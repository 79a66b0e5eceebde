"""Where a new leader begins: read models in, a dispatcher that knows what is open and a feed that goes on from there out.

A task's row does not say what the task asks for, so the rows only name the tasks, and their own streams are read. Whatever happened since
the position is read again from the log; a version that is known already changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.ids import AgentId, TenantId
from contracts.topics import events_topic
from infra.event_store.base import EventStore, StreamQuery
from infra.postgres.base import QueryPort
from projections.agents.queries import KnownAgent, known_agents
from projections.tasks.queries import open_tasks
from services.dispatcher.directory import AgentSnapshot
from services.dispatcher.dispatch import Dispatcher
from services.dispatcher.feed import AGENTS, TASKS, Feed

STREAMS_AT_ONCE = 500


async def begin(
    port: QueryPort, stores: Mapping[str, EventStore], dispatcher: Dispatcher, feed: Feed, topic_prefix: str, partitions: int
) -> None:
    """Take over what the read models hold. Where they hold nothing yet the feed begins at the beginning."""
    tasks = await open_tasks(port, topic_prefix + events_topic(TASKS), partitions)
    await _take_streams(stores[TASKS], feed, tasks.task_ids)
    feed.begin_at(TASKS, tasks.position)
    # Also those that are gone, if they hold a task: it is to be taken from them.
    agents = await known_agents(port, topic_prefix + events_topic(AGENTS), partitions, dispatcher.directory.unknown())
    dispatcher.restore(_snapshot(agent) for agent in agents.agents)
    await _take_streams(stores[AGENTS], feed, agents.parked)
    feed.begin_at(AGENTS, agents.position)


async def _take_streams(store: EventStore, feed: Feed, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), STREAMS_AT_ONCE):
        some = ids[start : start + STREAMS_AT_ONCE]
        for stream in (await store.load([StreamQuery(each, 0, ()) for each in some])).values():
            feed.take(stream.events)


def _snapshot(agent: KnownAgent) -> AgentSnapshot:
    return AgentSnapshot(
        AgentId(agent.agent_id), TenantId(agent.tenant_id), agent.kind, agent.capabilities, agent.limit, agent.status, agent.version
    )
