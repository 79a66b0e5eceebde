"""Keys go to the partitions that Kafka's own clients choose."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from contracts.partitioning import murmur2, partition_for, partitions_for


@pytest.mark.parametrize(
    ("key", "java_hash"),
    [
        # the values of Kafka's own UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_own_tests(key: bytes, java_hash: int) -> None:
    assert murmur2(key) == java_hash & 0xFFFFFFFF


@given(st.binary(max_size=100), st.integers(1, 100))
def test_every_key_goes_where_the_default_partitioner_sends_it(key: bytes, partitions: int) -> None:
    assert murmur2(key) == reference(key) & 0xFFFFFFFF
    everything = list(range(partitions))
    assert partition_for(key, partitions) == DefaultPartitioner()(key, everything, everything)


@given(st.lists(st.binary(max_size=9) | st.binary(min_size=36, max_size=41), max_size=60), st.integers(1, 100))
def test_many_keys_at_once_go_where_each_goes_alone(keys: list[bytes], partitions: int) -> None:
    assert partitions_for(keys, partitions) == [partition_for(key, partitions) for key in keys]


@given(st.integers(1, 70).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=8, max_size=30)))
def test_keys_of_one_length_are_hashed_side_by_side_as_one_by_one(keys: list[bytes]) -> None:
    assert partitions_for(keys, 12) == [partition_for(key, 12) for key in keys]
