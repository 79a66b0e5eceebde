"""Which records of a work topic are over, so that offsets are committed up to the last contiguous one; used by the agent host."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition


class ContiguousOffsets:
    """Records taken in order, finished in any order. A record is finished once; what is behind an unfinished one is not committed."""

    def __init__(self) -> None:
        self._open: dict[TopicPartition, deque[int]] = {}
        self._done: dict[TopicPartition, set[int]] = {}
        self._next: dict[TopicPartition, int] = {}

    def taken(self, partition: TopicPartition, offset: int) -> None:
        """A record was taken; offsets of a partition come in ascending order."""
        self._open.setdefault(partition, deque()).append(offset)

    def finished(self, partition: TopicPartition, offset: int) -> None:
        """The record is over: run, given back, or claimed by another host. Unknown after the partition was forgotten: then ignored."""
        waiting = self._open.get(partition)
        if not waiting:
            return
        done = self._done.setdefault(partition, set())
        done.add(offset)
        while waiting and waiting[0] in done:
            done.remove(waiting[0])
            self._next[partition] = waiting.popleft() + 1

    def unfinished(self, partition: TopicPartition) -> int:
        """Records of the partition that were taken and cannot be committed yet."""
        return len(self._open.get(partition, ()))

    def to_commit(self) -> Mapping[TopicPartition, int]:
        """The next offset to read, of each partition where that has moved since the last call."""
        found, self._next = self._next, {}
        return found

    def put_back(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A commit failed: these are asked for again, unless the partition has moved on."""
        self._next = {**offsets, **self._next}

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions belong to somebody else now."""
        for partition in partitions:
            self._open.pop(partition, None)
            self._done.pop(partition, None)
            self._next.pop(partition, None)
