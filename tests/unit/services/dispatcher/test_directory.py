"""Which agents can take a task: tenant, kind, status, slots, capabilities; late facts; the memory of the indexes."""

from __future__ import annotations

import pytest

from contracts.agents.values import AgentStatus
from contracts.ids import AgentId, TenantId
from services.dispatcher import directory as module
from services.dispatcher.directory import Directory, requirements_of
from services.dispatcher.selection import BEST_LEVEL, LEAST_LOADED, ROUND_ROBIN
from tests.unit.services.dispatcher.fleet import KIND, TENANT, agent, need

A, B = AgentId("agent-a"), AgentId("agent-b")


def directory_of(*agents: module.AgentSnapshot) -> Directory:
    directory = Directory()
    for known in agents:
        assert directory.created(known)
    return directory


@pytest.mark.parametrize(
    ("known", "wanted", "able"),
    [
        (agent(A), need(), True),
        (agent(A, {"text": 3}), need({"text": 3}), True),
        (agent(A, {"text": 3}), need({"text": 4}), False),
        (agent(A, {"text": 3}), need({"text": 1, "speech": 1}), False),
        (agent(A, {"text": 3, "speech": 1}), need({"text": 1, "speech": 1}), True),
        (agent(A, tenant="other"), need(), False),
        (agent(A, kind="other"), need(), False),
        *((agent(A, status=status), need(), status is AgentStatus.AVAILABLE) for status in AgentStatus),
    ],
)
def test_an_agent_is_able_by_tenant_kind_status_and_levels(known: module.AgentSnapshot, wanted: module.Need, able: bool) -> None:
    directory = directory_of(known)
    assert directory.able(wanted) == ([A] if able else [])
    for strategy in (LEAST_LOADED, ROUND_ROBIN, BEST_LEVEL):
        assert strategy.select(directory, wanted) == (A if able else None)


def test_an_agent_takes_as_many_tasks_as_its_limit_says() -> None:
    directory = directory_of(agent(A, limit=2))
    for _ in range(2):
        assert LEAST_LOADED.select(directory, need()) == A
        directory.opened(TENANT, A)
    assert LEAST_LOADED.select(directory, need()) is None
    directory.closed(TENANT, A)
    assert LEAST_LOADED.select(directory, need()) == A


def test_a_suspended_agent_is_chosen_again_once_it_is_resumed() -> None:
    directory = directory_of(agent(A))
    assert directory.status_changed(TENANT, A, AgentStatus.SUSPENDED, 2)
    assert LEAST_LOADED.select(directory, need()) is None
    assert directory.status_changed(TENANT, A, AgentStatus.AVAILABLE, 3)
    assert LEAST_LOADED.select(directory, need()) == A


def test_changed_capabilities_move_the_agent() -> None:
    directory = directory_of(agent(A, {"text": 1}), agent(B, {"text": 1}))
    speech = need({"speech": 2})
    assert LEAST_LOADED.select(directory, speech) is None
    assert directory.capabilities_changed(TENANT, A, {"speech": 2}, 2)
    assert LEAST_LOADED.select(directory, speech) == A
    assert LEAST_LOADED.select(directory, need({"text": 1})) == B
    assert directory.capabilities_changed(TENANT, A, {"text": 5}, 3)
    assert LEAST_LOADED.select(directory, speech) is None
    assert BEST_LEVEL.select(directory, need({"text": 1})) == A


def test_a_terminated_agent_never_comes_back() -> None:
    directory = directory_of(agent(A))
    assert directory.terminated(TENANT, A, 4)
    assert not directory.created(agent(A))
    assert not directory.status_changed(TENANT, A, AgentStatus.AVAILABLE, 5)
    assert not directory.capabilities_changed(TENANT, A, {"text": 1}, 6)
    assert LEAST_LOADED.select(directory, need()) is None
    assert len(directory) == 0


def test_terminated_agents_are_forgotten_after_many_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_TERMINATED", 1)
    directory = directory_of(agent(A), agent(B))
    assert LEAST_LOADED.select(directory, need()) == A
    directory.terminated(TENANT, A, 2)
    directory.terminated(TENANT, B, 2)
    assert directory.find(TENANT, A) is None
    assert directory.find(TENANT, B) is not None


@pytest.mark.parametrize("version", [1, 2, 3])
def test_facts_that_come_twice_or_late_change_nothing(version: int) -> None:
    directory = directory_of(agent(A))
    assert directory.status_changed(TENANT, A, AgentStatus.DRAINING, 3)
    assert not directory.created(agent(A, version=version))
    assert not directory.status_changed(TENANT, A, AgentStatus.AVAILABLE, version)
    assert not directory.capabilities_changed(TENANT, A, {"speech": 1}, version)
    assert directory.able(need()) == []


def test_an_agent_is_found_by_id_and_tenant_only() -> None:
    directory = directory_of(agent(A))
    assert directory.find(TenantId("other"), A) is None
    assert not directory.status_changed(TenantId("other"), A, AgentStatus.SUSPENDED, 2)
    assert directory.able(need()) == [A]


def test_assignments_of_an_agent_that_is_not_known_yet_count_when_it_is() -> None:
    directory = Directory()
    directory.opened(TENANT, A)
    assert directory.find(TENANT, A) is None
    directory.created(agent(A))
    assert directory.able(need()) == []
    directory.closed(TENANT, A)
    assert directory.able(need()) == [A]


def test_what_is_closed_once_too_often_is_not_counted() -> None:
    directory = directory_of(agent(A))
    directory.closed(TENANT, A)
    directory.closed(TENANT, B)
    directory.opened(TENANT, B)
    directory.closed(TENANT, B)
    directory.opened(TENANT, A)
    assert directory.able(need()) == []


def test_watched_needs_are_told_when_an_agent_can_serve_them() -> None:
    directory = directory_of(agent(A, {"text": 2}))
    text, speech = need({"text": 2}), need({"speech": 1})
    directory.opened(TENANT, A)
    for wanted in (text, speech, need({"text": 3})):
        directory.watch(wanted)
    directory.closed(TENANT, A)
    assert directory.take_served() == [text]
    assert directory.take_served() == []
    directory.created(agent(B, {"speech": 1}))
    assert directory.take_served() == [speech]
    directory.unwatch(text)
    directory.status_changed(TENANT, A, AgentStatus.AVAILABLE, 2)
    assert directory.take_served() == []


def test_unused_indexes_are_dropped_and_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IDLE_NEEDS", 2)
    directory = directory_of(agent(A, {"a": 1, "b": 1, "c": 1, "d": 1}))
    for name in "abcdabcd":
        assert LEAST_LOADED.select(directory, need({name: 1})) == A
    pool = directory._pools[TENANT, KIND]
    assert len(pool.indexes) == len(pool.idle) == 2
    (profile,) = pool.profiles.values()
    assert len(profile.indexes) == 2


def test_nothing_is_kept_for_a_tenant_without_agents_and_tasks() -> None:
    directory = directory_of(agent(A))
    directory.watch(need({"text": 1}))
    directory.unwatch(need({"text": 1}))
    directory.terminated(TENANT, A, 2)
    directory.watch(need({"speech": 1}))
    assert directory._pools
    directory.unwatch(need({"speech": 1}))
    directory.unwatch(need({"speech": 1}))
    assert LEAST_LOADED.select(directory, need()) is None
    assert not directory._pools


def test_heaps_do_not_grow_with_the_number_of_tasks() -> None:
    directory = directory_of(agent(A, limit=9), agent(B, {"text": 4}, limit=9))
    for strategy in (LEAST_LOADED, ROUND_ROBIN, BEST_LEVEL):
        strategy.select(directory, need({"text": 1}))
    for _ in range(500):
        for known in (A, B):
            directory.opened(TENANT, known)
            directory.closed(TENANT, known)
    pool = directory._pools[TENANT, KIND]
    heaps = [heap for profile in pool.profiles.values() for heap in profile.heaps.values()]
    heaps += [heap for index in pool.indexes.values() for heap in index.heaps.values()]  # type: ignore[misc]
    assert max(map(len, heaps)) <= 2 * 2 + module.SLACK


def test_requirements_have_one_spelling() -> None:
    assert requirements_of([("b", 1), ("a", 2), ("b", 3), ("b", 2)]) == (("a", 2), ("b", 3))


# --- agents by kind and status ----------------------------------------------------------------------------------------


def test_the_roster_knows_the_available_and_the_unhealthy_agents_of_each_kind() -> None:
    directory = Directory()
    for number in range(4):
        directory.created(agent(f"agent-{number}"))
    directory.created(agent("other", kind="research"))
    for number, status in enumerate((AgentStatus.UNHEALTHY, AgentStatus.SUSPENDED, AgentStatus.TERMINATED)):
        directory.status_changed(TENANT, AgentId(f"agent-{number}"), status, 2)
    roster = directory.roster
    assert set(roster.kinds()) == {KIND, "research"}
    assert list(roster.of(KIND, AgentStatus.AVAILABLE)) == [(TENANT, "agent-3")]
    assert list(roster.of(KIND, AgentStatus.UNHEALTHY)) == [(TENANT, "agent-0")]
    directory.status_changed(TENANT, AgentId("agent-0"), AgentStatus.AVAILABLE, 3)
    assert list(roster.of(KIND, AgentStatus.AVAILABLE)) == [(TENANT, "agent-3"), (TENANT, "agent-0")]
    directory.terminated(TENANT, AgentId("other"), 2)
    assert set(roster.kinds()) == {KIND}
    assert list(roster.of("research", AgentStatus.AVAILABLE)) == []


def test_a_read_model_that_is_newer_than_the_known_agent_moves_it_in_the_roster() -> None:
    directory = Directory()
    directory.created(agent("a"))
    directory.created(agent("a", status=AgentStatus.UNHEALTHY, version=5))
    assert list(directory.roster.of(KIND, AgentStatus.AVAILABLE)) == []
    assert list(directory.roster.of(KIND, AgentStatus.UNHEALTHY)) == [(TENANT, "a")]


def test_agents_are_counted_by_tenant_and_shown_status() -> None:
    directory = Directory()
    statuses = (AgentStatus.AVAILABLE, AgentStatus.AVAILABLE, AgentStatus.UNHEALTHY, AgentStatus.TERMINATED, AgentStatus.SUSPENDED)
    for number, status in enumerate(statuses):
        directory.created(agent(f"agent-{number}", status=status))
    directory.created(agent("theirs", tenant="globex"))
    directory.opened(TENANT, AgentId("agent-0"))
    directory.opened(TENANT, AgentId("unknown"))
    found = {(TENANT, "busy"): 1, (TENANT, "available"): 1, (TENANT, "unhealthy"): 1, (TENANT, "suspended"): 1, ("globex", "available"): 1}
    assert directory.counts() == found
