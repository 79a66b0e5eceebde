"""How far a read model is: checkpoints, partitions at their end, the order of the questions, and servers that are away."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.partitioning import partition_for
from infra.errors import TransientError
from infra.positions.base import Followed
from infra.positions.watched import WatchedPositions

PARTITIONS = 3
REQUESTS = Followed("requests", "requests")
TOPIC = "t.agentmesh.requests.events.v1"


@dataclass
class Servers:
    """Postgres and Kafka, as far as they are asked here; remembers the order of the questions."""

    checkpoints: dict[int, tuple[int, int]] = field(default_factory=dict)
    ends_of: dict[int, int] = field(default_factory=dict)
    relayed: int = 0
    kafka_away: bool = False
    asked: list[str] = field(default_factory=list)
    then: Any = None

    async def fetch(self, query: bytes, parameters: Mapping[str, Any], timeout: float = 30.0) -> Sequence[Sequence[Any]]:
        if b"relay_positions" in query:
            self.asked.append("relay")
            return [("requests", self.relayed)] if self.relayed else []
        self.asked.append("checkpoints")
        assert parameters == {"names": ["requests"], "topics": [TOPIC]}
        if self.then is not None:
            self.then(self)
        return [("requests", TOPIC, number, offset, position) for number, (offset, position) in self.checkpoints.items()]

    async def ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        self.asked.append("ends")
        assert topics == {TOPIC}
        if self.kafka_away:
            raise TransientError("away")
        return {(TOPIC, number): end for number, end in self.ends_of.items()}

    def positions(self) -> WatchedPositions:
        return WatchedPositions(self, self, partitions=PARTITIONS, topic_prefix="t.")


async def reach(servers: Servers, position: int, aggregate_id: str | None = None, seconds: float = 0.1) -> int:
    positions = servers.positions()
    found = await positions.reach(REQUESTS, position, aggregate_id, time.monotonic() + seconds)
    await positions.close()
    return found


def in_partition(number: int) -> str:
    """An aggregate's id whose events are in this partition."""
    return next(id_ for id_ in (f"req-{each}" for each in range(1000)) if partition_for(id_.encode(), PARTITIONS) == number)


async def test_where_every_checkpoint_is_far_enough_nothing_else_is_asked() -> None:
    servers = Servers({0: (5, 50), 1: (4, 42), 2: (9, 60)})
    assert await reach(servers, 42) == 42
    assert servers.asked == ["checkpoints"]


@pytest.mark.parametrize(("number", "position"), [(0, 50), (1, 42)])
async def test_for_one_aggregate_the_checkpoint_of_its_partition_counts(number: int, position: int) -> None:
    servers = Servers({0: (5, 50), 1: (4, 42), 2: (9, 10)})
    assert await reach(servers, position, in_partition(number)) == position
    assert servers.asked == ["checkpoints"]


async def test_a_partition_read_to_its_end_counts_as_being_at_the_relays_position() -> None:
    servers = Servers({0: (5, 50), 1: (4, 12)}, {0: 5, 1: 4, 2: 0}, relayed=50)
    assert await reach(servers, 50) == 50
    assert servers.asked[:4] == ["checkpoints", "relay", "ends", "checkpoints"]


async def test_a_partition_that_was_never_followed_and_holds_something_is_at_zero() -> None:
    assert await reach(Servers({0: (5, 50), 1: (4, 12)}, {0: 5, 1: 4, 2: 1}, relayed=50), 50) == 0


async def test_a_partition_before_its_end_is_where_its_checkpoint_is() -> None:
    assert await reach(Servers({0: (5, 50), 1: (4, 12), 2: (1, 1)}, {0: 5, 1: 5, 2: 1}, relayed=50), 50) == 12


async def test_what_the_relay_did_not_bring_yet_does_not_count_at_an_end() -> None:
    assert await reach(Servers(dict.fromkeys(range(3), (5, 50)), dict.fromkeys(range(3), 5), relayed=55), 60) == 55


async def test_a_checkpoint_above_the_relays_position_counts() -> None:
    assert await reach(Servers(dict.fromkeys(range(3), (5, 50)), dict.fromkeys(range(3), 5), relayed=0), 60) == 50


async def test_it_is_answered_as_soon_as_it_is_reached() -> None:
    def move(servers: Servers) -> None:
        if servers.asked.count("checkpoints") == 4:
            servers.checkpoints = dict.fromkeys(range(3), (9, 70))

    servers = Servers(dict.fromkeys(range(3), (5, 50)), dict.fromkeys(range(3), 9), then=move)
    began = time.monotonic()
    assert await reach(servers, 70, seconds=20) == 70
    assert time.monotonic() - began < 10


async def test_who_does_not_wait_gets_one_look() -> None:
    servers = Servers({0: (5, 50), 1: (4, 12)}, {0: 5, 1: 4, 2: 0}, relayed=50)
    assert await reach(servers, 50, seconds=0) == 50
    assert await reach(servers, 99, seconds=0) == 50


async def test_while_kafka_is_away_checkpoints_alone_count() -> None:
    servers = Servers({0: (5, 50), 1: (4, 12)}, {0: 5, 1: 4, 2: 0}, relayed=50, kafka_away=True)
    assert await reach(servers, 50) == 0
    assert await reach(servers, 50, in_partition(0)) == 50
    assert await reach(servers, 50, in_partition(1)) == 12


async def test_what_is_not_read_yet_is_counted_by_offsets_and_unknown_without_kafka() -> None:
    servers = Servers({0: (5, 50), 1: (2, 12)}, {0: 5, 1: 4, 2: 1}, relayed=50)
    assert (await servers.positions().now([REQUESTS]))[REQUESTS] == ([50, 12, 0], 50, 3)
    servers.kafka_away = True
    assert (await servers.positions().now([REQUESTS]))[REQUESTS] == ([50, 12, 0], 50, None)
    assert await servers.positions().now([]) == {}
