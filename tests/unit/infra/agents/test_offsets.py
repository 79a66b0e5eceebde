"""Records are finished in any order, offsets are committed up to the last contiguous one."""

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from infra.agents.offsets import ContiguousOffsets

ONE, TWO = TopicPartition("work", 0), TopicPartition("work", 1)


def taken(*offsets: int, partition: TopicPartition = ONE) -> ContiguousOffsets:
    found = ContiguousOffsets()
    for offset in offsets:
        found.taken(partition, offset)
    return found


def test_nothing_is_committed_before_the_first_record_is_over() -> None:
    offsets = taken(4, 5, 6)
    assert offsets.to_commit() == {}
    offsets.finished(ONE, 5)
    offsets.finished(ONE, 6)
    assert offsets.to_commit() == {}
    assert offsets.unfinished(ONE) == 3


def test_the_first_ones_end_commits_all_that_were_over_behind_it() -> None:
    offsets = taken(4, 5, 6, 7)
    for offset in (6, 5, 4):
        offsets.finished(ONE, offset)
    assert offsets.to_commit() == {ONE: 7}
    assert offsets.unfinished(ONE) == 1
    offsets.finished(ONE, 7)
    assert offsets.to_commit() == {ONE: 8}
    assert offsets.unfinished(ONE) == 0


def test_an_offset_is_asked_for_once() -> None:
    offsets = taken(0)
    offsets.finished(ONE, 0)
    assert offsets.to_commit() == {ONE: 1}
    assert offsets.to_commit() == {}


def test_offsets_that_the_topic_leaves_out_are_no_gap() -> None:
    offsets = taken(4, 9)
    offsets.finished(ONE, 4)
    assert offsets.to_commit() == {ONE: 5}
    offsets.finished(ONE, 9)
    assert offsets.to_commit() == {ONE: 10}


def test_partitions_do_not_wait_for_each_other() -> None:
    offsets = taken(0, 1)
    offsets.taken(TWO, 7)
    offsets.finished(TWO, 7)
    assert offsets.to_commit() == {TWO: 8}
    assert (offsets.unfinished(ONE), offsets.unfinished(TWO)) == (2, 0)


def test_a_commit_that_failed_is_asked_for_again() -> None:
    offsets = taken(0, 1)
    offsets.finished(ONE, 0)
    offsets.put_back(offsets.to_commit())
    assert offsets.to_commit() == {ONE: 1}


def test_a_commit_that_failed_never_moves_a_partition_back() -> None:
    offsets = taken(0, 1)
    offsets.taken(TWO, 3)
    offsets.finished(ONE, 0)
    offsets.finished(TWO, 3)
    failed = offsets.to_commit()
    offsets.finished(ONE, 1)
    offsets.put_back(failed)
    assert offsets.to_commit() == {ONE: 2, TWO: 4}


def test_what_ends_after_its_partition_was_forgotten_is_not_committed() -> None:
    offsets = taken(0, 1)
    offsets.finished(ONE, 0)
    offsets.forget([ONE, TWO])
    offsets.finished(ONE, 1)
    assert offsets.to_commit() == {}
    assert offsets.unfinished(ONE) == 0


def test_a_partition_that_comes_back_starts_where_it_is_read_again() -> None:
    offsets = taken(0, 1)
    offsets.finished(ONE, 1)
    offsets.forget([ONE])
    offsets.taken(ONE, 0)
    offsets.taken(ONE, 1)
    offsets.finished(ONE, 0)
    assert offsets.to_commit() == {ONE: 1}, "the end that was told before the partition went away counts no more"


def test_the_end_of_an_unknown_partition_is_ignored() -> None:
    offsets = ContiguousOffsets()
    offsets.finished(ONE, 3)
    assert (offsets.to_commit(), offsets.unfinished(ONE)) == ({}, 0)


@given(st.permutations(range(12)), st.integers(0, 12))
def test_whatever_the_order_all_before_the_first_open_record_is_committed_and_nothing_behind_it(order: list[int], ended: int) -> None:
    offsets = taken(*range(12))
    for offset in order[:ended]:
        offsets.finished(ONE, offset)
    still_open = sorted(set(range(12)) - set(order[:ended]))
    first = still_open[0] if still_open else 12
    assert offsets.to_commit() == ({ONE: first} if first else {})
    assert offsets.unfinished(ONE) == 12 - first
