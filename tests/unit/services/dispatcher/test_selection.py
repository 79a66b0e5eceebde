"""Who is chosen: the strategies as tables, and TST-06: whoever is chosen is available and able."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.agents.values import AgentStatus
from contracts.ids import AgentId
from contracts.tasks.values import RoutingStrategy
from services.dispatcher.directory import AgentSnapshot, Directory
from services.dispatcher.selection import BEST_LEVEL, LEAST_LOADED, ROUND_ROBIN, STRATEGIES, SelectionStrategy
from tests.unit.services.dispatcher.fleet import TENANT, agent, need


def test_every_named_strategy_is_there() -> None:
    assert set(STRATEGIES) == set(RoutingStrategy)
    assert all(strategy.name is name for name, strategy in STRATEGIES.items())


@pytest.mark.parametrize(
    ("strategy", "loads", "levels", "chosen"),
    [
        (LEAST_LOADED, (0, 0, 0), (1, 1, 1), "agent-0"),
        (LEAST_LOADED, (1, 0, 0), (1, 1, 1), "agent-1"),
        (LEAST_LOADED, (2, 2, 1), (5, 5, 1), "agent-2"),
        (LEAST_LOADED, (1, 0, 0), (1, 2, 1), "agent-1"),
        (BEST_LEVEL, (0, 0, 0), (1, 3, 2), "agent-1"),
        (BEST_LEVEL, (0, 5, 0), (1, 3, 2), "agent-1"),
        (BEST_LEVEL, (1, 1, 0), (2, 2, 2), "agent-2"),
        (BEST_LEVEL, (1, 1, 1), (2, 2, 2), "agent-0"),
        (BEST_LEVEL, (0, 9, 0), (1, 3, 2), "agent-2"),
        (ROUND_ROBIN, (0, 0, 0), (1, 2, 3), "agent-0"),
        (ROUND_ROBIN, (1, 1, 1), (3, 2, 1), "agent-0"),
        (ROUND_ROBIN, (1, 0, 0), (1, 1, 1), "agent-1"),
        (LEAST_LOADED, (9, 9, 9), (1, 1, 1), None),
    ],
)
def test_the_choice_among_three(strategy: SelectionStrategy, loads: tuple[int, ...], levels: tuple[int, ...], chosen: str | None) -> None:
    directory = Directory()
    for number, level in enumerate(levels):
        directory.created(agent(f"agent-{number}", {"text": level, "speech": 6 - level}, limit=9))
    for number, load in enumerate(loads):
        for _ in range(load):
            directory.opened(TENANT, AgentId(f"agent-{number}"))
    assert strategy.select(directory, need({"text": 1})) == chosen


def test_best_level_sums_the_required_levels_only() -> None:
    directory = Directory()
    directory.created(agent("agent-0", {"a": 3, "b": 3, "c": 5}))
    directory.created(agent("agent-1", {"a": 5, "b": 2, "c": 1}))
    assert BEST_LEVEL.select(directory, need({"a": 1, "b": 1})) == "agent-1"
    assert BEST_LEVEL.select(directory, need({"b": 1})) == "agent-0"


def test_round_robin_goes_round_whatever_the_capabilities_and_the_load() -> None:
    directory = Directory()
    for number in range(4):
        directory.created(agent(f"agent-{number}", {"text": 1 + number % 2}, limit=5))
    chosen = []
    for _ in range(8):
        agent_id = ROUND_ROBIN.select(directory, need({"text": 1}))
        assert agent_id is not None
        directory.opened(TENANT, agent_id)
        if agent_id != "agent-3":  # ends at once, and waits for its turn all the same
            directory.closed(TENANT, agent_id)
        chosen.append(agent_id)
    assert chosen == [f"agent-{number}" for number in (0, 1, 2, 3)] * 2


NAMES = st.sampled_from(["text", "speech", "vision"])
LEVELS = st.integers(1, 5)


@st.composite
def agents(draw: st.DrawFn) -> list[tuple[AgentSnapshot, int]]:
    """Agents, each with the number of tasks that it holds."""
    count = draw(st.integers(1, 20))
    able = st.dictionaries(NAMES, LEVELS, min_size=1)
    return [
        (
            agent(
                f"agent-{number}",
                draw(able),
                limit=draw(st.integers(1, 3)),
                tenant=draw(st.sampled_from(["test-tenant", "other"])),
                status=draw(st.sampled_from(AgentStatus)),
            ),
            draw(st.integers(0, 3)),
        )
        for number in range(count)
    ]


@settings(max_examples=50)
@given(agents(), st.dictionaries(NAMES, LEVELS), st.sampled_from(RoutingStrategy))
def test_a_selected_agent_is_available_and_has_the_capabilities(
    known: list[tuple[AgentSnapshot, int]], asked: dict[str, int], name: RoutingStrategy
) -> None:
    directory = Directory()
    for snapshot, load in known:
        directory.created(snapshot)
        for _ in range(load):
            directory.opened(snapshot.tenant_id, snapshot.agent_id)
    able = {
        snapshot.agent_id
        for snapshot, load in known
        if snapshot.tenant_id == TENANT
        and snapshot.status is AgentStatus.AVAILABLE
        and load < snapshot.limit
        and all(snapshot.capabilities.get(name, 0) >= level for name, level in asked.items())
    }
    chosen = STRATEGIES[name].select(directory, need(asked))
    assert chosen in able if able else chosen is None
    assert directory.able(need(asked)) == sorted(able)
