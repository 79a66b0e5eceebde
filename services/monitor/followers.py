"""Who follows which topics, and how far each is behind: places and ends in, lags out; pure, used by the monitor worker.

The age of a record is read from Kafka only where it matters: what came since the look before is younger than the pause between the looks
and counts as 0 s old. What is read once is kept while a follower stands there, so a follower that stands still costs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from contracts.topics import commands_topic, events_topic
from infra.lags.base import Partition, Place

WORK_PREFIX, WORK_SUFFIX = "agentmesh.work.", ".v1"
PROCESS_SUFFIX = "-process"


class Kind(StrEnum):
    """What kind of follower lags, as the label `kind` of the metrics says."""

    CONSUMER_GROUP = "consumer_group"
    RELAY = "relay"
    PROJECTION = "projection"
    PROCESS_MANAGER = "process_manager"


class Lag(NamedTuple):
    """How far a follower is behind: what it has not handled, and how old the oldest of it is, in seconds."""

    messages: int
    seconds: float


class Follower(NamedTuple):
    """Who follows some partitions, and the next offset that it will read of each; None where it never read."""

    kind: Kind
    name: str
    places: Mapping[Partition, int | None]


def group_topics(contexts: Iterable[str], topics: Iterable[str], prefix: str) -> dict[str, str]:
    """The consumer groups whose committed offsets are the truth, each with its topic: one a context, and one for each kind of agents that
    has a work topic. Whether any of their members lives is not asked."""
    groups = {f"{prefix}agentmesh.{context}": prefix + commands_topic(context) for context in contexts}
    start = prefix + WORK_PREFIX
    for topic in sorted(topics):
        if topic.startswith(start) and topic.endswith(WORK_SUFFIX):
            kind = topic.removeprefix(start).removesuffix(WORK_SUFFIX)
            groups[f"{prefix}agentmesh.agents.{kind}"] = topic
    return groups


def partitions_of(topic: str, count: int) -> list[Partition]:
    """The partitions of a topic."""
    return [Partition(topic, number) for number in range(count)]


def of_groups(groups: Mapping[str, str], committed: Mapping[str, Mapping[Partition, int]], count: int) -> list[Follower]:
    """Each group with the offsets that it has committed."""
    return [
        Follower(Kind.CONSUMER_GROUP, name, {each: committed.get(name, {}).get(each) for each in partitions_of(topic, count)})
        for name, topic in groups.items()
    ]


def of_checkpoints(
    read_models: Mapping[str, Sequence[str]], checkpoints: Mapping[str, Mapping[Partition, int]], count: int, prefix: str
) -> list[Follower]:
    """Each read model, by name with the contexts that it follows, whether it ever ran or not; and each process manager that ever ran."""
    found = []
    for name, contexts in read_models.items():
        wanted = [each for context in contexts for each in partitions_of(prefix + events_topic(context), count)]
        # A read model that has no checkpoint yet begins at offset 0: what Kafka no longer holds it reads from the store.
        found.append(Follower(Kind.PROJECTION, name, {each: checkpoints.get(name, {}).get(each, 0) for each in wanted}))
    for name, places in checkpoints.items():
        mine = {each: offset for each, offset in places.items() if each.topic.startswith(prefix) and each.number < count}
        if name.endswith(PROCESS_SUFFIX) and mine:
            found.append(Follower(Kind.PROCESS_MANAGER, name, dict(mine)))
    return found


def never_read(followers: Iterable[Follower], ends: Mapping[Partition, int]) -> set[Partition]:
    """Partitions that hold something, and of which a group has committed nothing: it begins at the first record that is left."""
    return {each for follower in followers for each, offset in follower.places.items() if offset is None and ends.get(each, 0) > 0}


class Looks:
    """What is remembered from one look to the next: where partitions ended, and how old the records are at which followers stand."""

    def __init__(self) -> None:
        self._ends: Mapping[Partition, int] | None = None
        self._times: dict[Place, float] = {}
        self._waiting: dict[tuple[Kind, str], tuple[int, list[Place]]] = {}

    def compare(self, followers: Iterable[Follower], ends: Mapping[Partition, int], beginnings: Mapping[Partition, int]) -> set[Place]:
        """Take one look in; answers the places whose time has to be read."""
        before, self._ends, self._waiting = self._ends, dict(ends), {}
        for follower in followers:
            messages, oldest = 0, []
            for partition, offset in follower.places.items():
                end, first = ends.get(partition, 0), beginnings.get(partition, 0)
                place = first if offset is None else offset
                if place < end:
                    messages += end - place
                    if before is None or place < before.get(partition, 0):
                        oldest.append(Place(partition, place))
            self._waiting[follower.kind, follower.name] = (messages, oldest)
        wanted = {place for _, places in self._waiting.values() for place in places}
        self._times = {place: at for place, at in self._times.items() if place in wanted}
        return wanted - set(self._times)

    def lags(self, times: Mapping[Place, float], now: float) -> dict[tuple[Kind, str], Lag]:
        """How far each follower is behind, with the times that were read for this look; `now` in seconds of the epoch. A record whose
        time is not known yet counts as 0 s old."""
        self._times.update(times)
        return {
            follower: Lag(messages, max((max(0.0, now - self._times[place]) for place in places if place in self._times), default=0.0))
            for follower, (messages, places) in self._waiting.items()
        }
