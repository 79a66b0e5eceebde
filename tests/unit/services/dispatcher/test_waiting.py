"""The order of waiting tasks: priority, ageing, first in first out; groups that sleep; cancelling; the oldest wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import TaskId
from contracts.requests.values import Priority
from contracts.tasks.values import RoutingStrategy
from services.dispatcher.directory import SLACK
from services.dispatcher.waiting import WaitingTasks, effective_priority
from tests.unit.services.dispatcher.fleet import need

AGEING = 10.0
ONE, TWO = need({"a": 1}), need({"b": 1}, kind="research")


def add(tasks: WaitingTasks, task_id: str, priority: int = 2, since: float = 0.0, wanted: object = ONE) -> bool:
    assert wanted in (ONE, TWO)
    return tasks.add(TaskId(task_id), ONE if wanted == ONE else TWO, Priority(priority), RoutingStrategy.LEAST_LOADED, since)


def order(tasks: WaitingTasks, now: float) -> list[str]:
    taken = []
    round_ = tasks.round(now)
    while (head := round_.head()) is not None:
        taken.append(str(head.task_id))
        round_.take()
    return taken


@pytest.mark.parametrize(
    ("priority", "waited", "effective"),
    [(1, 0.0, 1), (1, 9.99, 1), (1, 10.0, 2), (1, 30.0, 4), (4, 25.0, 6), (2, -5.0, 2)],
)
def test_a_task_gains_a_step_for_each_ageing_time(priority: int, waited: float, effective: int) -> None:
    assert effective_priority(Priority(priority), waited, AGEING) == effective


@pytest.mark.parametrize(
    ("waiting", "now", "expected"),
    [
        ([("a", 2, 0.0), ("b", 2, 0.0), ("c", 2, 0.0)], 0.0, "abc"),
        ([("a", 1, 0.0), ("b", 4, 1.0), ("c", 2, 2.0)], 2.0, "bca"),
        ([("a", 2, 5.0), ("b", 2, 1.0)], 6.0, "ba"),
        ([("a", 1, 0.0), ("b", 2, 9.0)], 9.5, "ba"),
        ([("a", 1, 0.0), ("b", 2, 9.0)], 10.0, "ab"),
        ([("a", 1, 0.0), ("b", 4, 25.0)], 30.0, "ab"),
        ([("a", 1, 0.0), ("b", 4, 0.0)], 100.0, "ba"),
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_the_order_is_the_same_within_a_group_and_across_groups(
    waiting: list[tuple[str, int, float]], now: float, expected: str, groups: int
) -> None:
    tasks = WaitingTasks(AGEING)
    for number, (task_id, priority, since) in enumerate(waiting):
        add(tasks, task_id, priority, since, TWO if groups == 2 and number % 2 else ONE)
    assert "".join(order(tasks, now)) == expected
    assert len(tasks) == 0


def test_a_low_task_does_not_starve_among_critical_ones_that_never_end() -> None:
    tasks = WaitingTasks(AGEING)
    add(tasks, "low", 1)
    served = []
    for second in range(60):
        add(tasks, f"critical-{second}", 4, float(second))
        add(tasks, f"more-{second}", 4, float(second))
        head = tasks.round(float(second)).head()
        assert head is not None
        tasks.cancel(head.task_id)
        served.append(head.task_id)
    assert "low" in served


def test_a_sleeping_group_is_not_looked_at_until_it_is_woken() -> None:
    tasks = WaitingTasks(AGEING)
    assert add(tasks, "a", 4)
    assert add(tasks, "b", wanted=TWO)
    round_ = tasks.round(0.0)
    round_.put_to_sleep()
    head = round_.head()
    assert head is not None
    assert head.task_id == "b"
    assert not add(tasks, "c", 4)
    assert order(tasks, 1.0) == ["b"]
    tasks.wake(ONE)
    tasks.wake(TWO)
    assert order(tasks, 1.0) == ["a", "c"]


def test_a_cancelled_task_is_gone_and_the_last_one_takes_its_group_along() -> None:
    tasks = WaitingTasks(AGEING)
    for task_id in ("a", "b", "c"):
        add(tasks, task_id)
    assert tasks.cancel(TaskId("b")) is None
    assert tasks.cancel(TaskId("b")) is None
    assert "b" not in tasks
    assert order(tasks, 0.0) == ["a", "c"]
    add(tasks, "d")
    assert tasks.cancel(TaskId("d")) == ONE
    assert not tasks._awake
    assert order(tasks, 0.0) == []


def test_a_task_that_is_added_again_waits_once() -> None:
    tasks = WaitingTasks(AGEING)
    add(tasks, "a")
    add(tasks, "b", since=1.0)
    add(tasks, "a", since=2.0)
    assert order(tasks, 3.0) == ["b", "a"]


def test_the_oldest_wait_and_the_count_of_each_kind() -> None:
    tasks = WaitingTasks(AGEING)
    assert tasks.oldest_waits(9.0) == {}
    add(tasks, "a", 4, since=3.0)
    add(tasks, "b", 1, since=1.0)
    add(tasks, "c", since=5.0, wanted=TWO)
    assert tasks.oldest_waits(9.0) == {"triage": 8.0, "research": 4.0}
    assert tasks.counts() == {"triage": 2, "research": 1}
    tasks.cancel(TaskId("b"))
    assert tasks.oldest_waits(9.0)["triage"] == 6.0


def test_cancelled_tasks_do_not_pile_up() -> None:
    tasks = WaitingTasks(AGEING)
    add(tasks, "first")
    for number in range(500):
        add(tasks, f"task-{number}", since=1.0)
        tasks.cancel(TaskId(f"task-{number}"))
    (group,) = tasks._groups.values()
    assert sum(map(len, group.lanes.values())) <= 2 + SLACK + 1


@pytest.mark.parametrize("ageing", [0.0, -1.0])
def test_ageing_takes_time(ageing: float) -> None:
    with pytest.raises(ValueError, match="ageing_seconds"):
        WaitingTasks(ageing)


WAITING = st.tuples(st.integers(1, 4), st.integers(0, 60).map(float), st.sampled_from([ONE, TWO]))


@given(st.lists(WAITING, max_size=30), st.sets(st.integers(0, 29)))
def test_the_order_is_that_of_sorting_all_tasks(waiting: list[tuple[int, float, object]], gone: set[int]) -> None:
    tasks, now = WaitingTasks(AGEING), 60.0
    for number, (priority, since, wanted) in enumerate(waiting):
        add(tasks, str(number), priority, since, wanted)
    for number in gone:
        tasks.cancel(TaskId(str(number)))
    left = [(-effective_priority(Priority(p), now - s, AGEING), s, n) for n, (p, s, _) in enumerate(waiting) if n not in gone]
    assert order(tasks, now) == [str(number) for _, _, number in sorted(left)]
