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


def partitions_of(topic: str, topics: Mapping[str, int]) -> list[Partition]:
    """The partitions of a topic; none of one that is not there."""
    return [Partition(topic, number) for number in range(topics.get(topic, 0))]


def consumer_groups(contexts: Iterable[str], topics: Mapping[str, int], prefix: str) -> dict[str, list[Partition]]:
    """The consumer groups whose committed offsets are the truth, each with what it reads: one a context, and one for each kind of agents
    that has a work topic. Whether any of their members lives is not asked."""
    groups = {f"{prefix}agentmesh.{context}": partitions_of(prefix + commands_topic(context), topics) for context in contexts}
    start = prefix + WORK_PREFIX
    for topic in sorted(topics):
        if topic.startswith(start) and topic.endswith(WORK_SUFFIX):
            kind = topic.removeprefix(start).removesuffix(WORK_SUFFIX)
            groups[f"{prefix}agentmesh.agents.{kind}"] = partitions_of(topic, topics)
    return groups


def of_groups(groups: Mapping[str, Sequence[Partition]], committed: Mapping[str, Mapping[Partition, int]]) -> list[Follower]:
    """Each group with the offsets that it has committed."""
    return [
        Follower(Kind.CONSUMER_GROUP, name, {each: committed.get(name, {}).get(each) for each in partitions})
        for name, partitions in groups.items()
    ]


def of_checkpoints(
    read_models: Mapping[str, Sequence[str]], checkpoints: Mapping[str, Mapping[Partition, int]], topics: Mapping[str, int], prefix: str
) -> list[Follower]:
    """Each read model, by name with the contexts that it follows, whether it ever ran or not; and each process manager that ever ran."""
    found = []
    for name, contexts in read_models.items():
        wanted = [each for context in contexts for each in partitions_of(prefix + events_topic(context), topics)]
        # A read model that has no checkpoint yet begins at offset 0: what Kafka no longer holds it reads from the store.
        found.append(Follower(Kind.PROJECTION, name, {each: checkpoints.get(name, {}).get(each, 0) for each in wanted}))
    for name, places in checkpoints.items():
        mine = {
            each: offset for each, offset in places.items() if each.topic.startswith(prefix) and each.number < topics.get(each.topic, 0)
        }
        if name.endswith(PROCESS_SUFFIX) and mine:
            found.append(Follower(Kind.PROCESS_MANAGER, name, dict(mine)))
    return found


class Looks:
    """What is remembered from one look to the next: where partitions ended, and how old the records are at which followers stand."""

    def __init__(self) -> None:
        self._ends: Mapping[Partition, int] | None = None
        self._times: dict[Place, float] = {}
        self._waiting: dict[tuple[Kind, str], tuple[int, list[Place]]] = {}

    def perhaps_deleted(self, followers: Iterable[Follower], ends: Mapping[Partition, int]) -> set[Partition]:
        """Partitions whose first record that is left must be known: somebody stands at one that was there at the look before, which Kafka
        may have deleted since, or a group has committed nothing and begins there."""
        return {
            partition
            for follower in followers
            for partition, offset in follower.places.items()
            if (offset or 0) < ends.get(partition, 0) and (offset is None or self._was_there(Place(partition, offset)))
        }

    def _was_there(self, place: Place) -> bool:
        """At the look before. At the first one everything counts as old."""
        return self._ends is None or place.offset < self._ends.get(place.partition, 0)

    def compare(self, followers: Iterable[Follower], ends: Mapping[Partition, int], beginnings: Mapping[Partition, int]) -> set[Place]:
        """Take one look in; answers the places whose time has to be read."""
        self._waiting = {}
        for follower in followers:
            messages, oldest = 0, []
            for partition, offset in follower.places.items():
                end, first = ends.get(partition, 0), beginnings.get(partition, 0)
                place = Place(partition, offset or 0)
                if follower.kind is Kind.CONSUMER_GROUP and first > place.offset:
                    place = Place(
                        partition, first
                    )  # what Kafka has deleted is no work any more; who has a checkpoint reads it from the store
                if place.offset < end:
                    messages += end - place.offset
                    # Where Kafka has nothing left to read, only what was read before is known.
                    if self._was_there(place) and (first < end or place in self._times):
                        oldest.append(place)
            self._waiting[follower.kind, follower.name] = (messages, oldest)
        self._ends = dict(ends)
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
