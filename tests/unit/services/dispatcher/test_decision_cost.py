"""What a decision costs at 10, 1,000 and 10,000 agents (processor time), and what 10,000 agents weigh. Prints figures, asserts ratios."""

from __future__ import annotations

import gc
import random
import tracemalloc
from time import process_time

import pytest

from contracts.agents.values import AgentStatus
from contracts.ids import AgentId, TaskId, TenantId
from contracts.requests.values import Priority
from contracts.tasks.values import RoutingStrategy
from services.dispatcher.directory import AgentSnapshot, Directory
from services.dispatcher.dispatch import Dispatcher
from services.dispatcher.selection import STRATEGIES
from tests.unit.services.dispatcher.fleet import KIND, TENANT, assigned, completed, need, queued

pytestmark = pytest.mark.alone
DECISIONS = 1_000
SIZES = (10, 1_000, 10_000)
ASKED = {"skill-1": 2, "skill-2": 1}
MEGABYTE = 1024 * 1024


def snapshots(count: int, *, distinct: bool, tenants: int = 1) -> list[AgentSnapshot]:
    """Agents that can all do what is asked; `distinct`: nearly each has a capability set of its own."""
    chance = random.Random(7)
    agents = []
    for number in range(count):
        levels = {"skill-1": 3, "skill-2": 3 if not distinct else chance.randint(1, 5), "skill-3": 1}
        if distinct:
            levels |= {f"skill-{chance.randint(4, 60)}": chance.randint(1, 5) for _ in range(2)}
        tenant = TENANT if tenants == 1 else TenantId(f"tenant-{number % tenants}")
        agents.append(AgentSnapshot(AgentId(f"agent-{number:036}"), tenant, KIND, levels, 4, AgentStatus.AVAILABLE, 1))
    return agents


def dispatcher_of(count: int, *, distinct: bool) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.restore(snapshots(count, distinct=distinct))
    return dispatcher


def microseconds_per_decision(dispatcher: Dispatcher, strategy: RoutingStrategy) -> float:
    """One decision: a task is queued and given, the answer comes, an earlier task ends. The busy part of a steady day."""
    rounds = []
    for attempt in range(4):  # the first is for warming up
        facts = [
            (queued(task_id, ASKED, Priority.MEDIUM, strategy), completed(task_id))
            for task_id in (f"task-{strategy}-{attempt}-{number}" for number in range(DECISIONS))
        ]
        answer = assigned("task", "agent").model_copy
        spent, held = 0.0, 5
        for number, (new, _) in enumerate(facts):
            started = process_time()
            dispatcher.apply_task(new, 1, 0.0)
            (given,) = dispatcher.dispatch(0.0, 10)
            spent += process_time() - started
            confirmed = answer(update={"task_id": given.task_id, "agent_id": given.agent_id})
            started = process_time()
            dispatcher.apply_task(confirmed, 2, 0.0)
            if number >= held:
                dispatcher.apply_task(facts[number - held][1], 3, 0.0)
            spent += process_time() - started
        for _, end in facts[-held:]:
            dispatcher.apply_task(end, 3, 0.0)
        rounds.append(spent / DECISIONS * 1e6)
    return min(rounds[1:])


@pytest.mark.parametrize("distinct", [False, True], ids=["few capability sets", "each its own capability set"])
@pytest.mark.parametrize("strategy", RoutingStrategy)
def test_a_decision_costs_the_same_with_ten_and_with_ten_thousand_agents(
    strategy: RoutingStrategy, distinct: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = {}
    for size in SIZES:
        dispatcher = dispatcher_of(size, distinct=distinct)
        gc.collect()
        gc.disable()
        try:
            costs[size] = microseconds_per_decision(dispatcher, strategy)
        finally:
            gc.enable()
    with capsys.disabled():
        figures = ", ".join(f"{size} agents: {cost:.1f} µs" for size, cost in costs.items())
        print(f"\n  {strategy}, {'distinct' if distinct else 'shared'} capability sets, per decision: {figures}")
    assert costs[10_000] / costs[10] <= 4


def test_a_sleeping_queue_costs_nothing_per_decision(capsys: pytest.CaptureFixture[str]) -> None:
    costs = {}
    for sleeping in (0, 2_000):
        dispatcher = dispatcher_of(100, distinct=False)
        for number in range(sleeping):
            dispatcher.apply_task(queued(f"asleep-{number}", {f"nobody-{number}": 1}), 1, 0.0)
        assert dispatcher.dispatch(0.0, 10) == []
        costs[sleeping] = microseconds_per_decision(dispatcher, RoutingStrategy.LEAST_LOADED)
    with capsys.disabled():
        print(f"\n  per decision with groups asleep: {', '.join(f'{count}: {cost:.1f} µs' for count, cost in costs.items())}")
    assert costs[2_000] / costs[0] <= 4


@pytest.mark.parametrize(
    ("distinct", "tenants"), [(False, 1), (True, 1), (False, 10_000)], ids=["shared sets", "distinct sets", "a tenant for each agent"]
)
def test_the_directory_of_ten_thousand_agents_stays_below_fifty_megabytes(
    distinct: bool, tenants: int, capsys: pytest.CaptureFixture[str]
) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        directory = Directory()
        for known in snapshots(10_000, distinct=distinct, tenants=tenants):
            directory.created(known)
        del known
        wanted = [need({f"skill-{number}": 1}) for number in range(1, 31)] if tenants == 1 else []
        for asked in wanted:
            for strategy in STRATEGIES.values():
                strategy.select(directory, asked)
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] / MEGABYTE
    finally:
        tracemalloc.stop()
    with capsys.disabled():
        kinds = f"{'distinct' if distinct else 'shared'} capability sets, {tenants} tenants, {len(wanted)} needs"
        print(f"\n  directory of 10,000 agents, {kinds}, 3 strategies: {size:.1f} MB")
    assert len(directory) == 10_000
    assert size < 50


def test_a_full_fleet_is_given_tasks_in_one_go(capsys: pytest.CaptureFixture[str]) -> None:
    dispatcher = dispatcher_of(1_000, distinct=True)
    for number in range(5_000):
        dispatcher.apply_task(queued(f"task-{number}", ASKED), 1, 0.0)
    started = process_time()
    given = dispatcher.dispatch(0.0, 10_000)
    cost = (process_time() - started) / len(given) * 1e6
    with capsys.disabled():
        print(f"\n  5,000 tasks for 4,000 slots: {cost:.1f} µs per assignment")
    assert len(given) == 4_000
    assert len(dispatcher.waiting) == 1_000
    assert TaskId("task-4000") in dispatcher.waiting
