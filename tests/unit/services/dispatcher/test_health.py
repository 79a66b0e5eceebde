"""Which agents are marked unhealthy and recover: by the liveness of their kind, by lost leases, a few hundred at a time."""

from __future__ import annotations

from typing import Any

from contracts.agents.events import AgentHealthCheckFailed, AgentRecovered
from contracts.agents.values import AgentStatus
from contracts.ids import AgentId
from contracts.tasks.values import LEASE_EXPIRED, TaskOutcome
from services.dispatcher.directory import Directory
from services.dispatcher.health import AgentHealth, Failure, Verdict
from tests.unit.services.dispatcher.fleet import KIND, MOMENT, TENANT, agent, assigned, completed, paused, reassigned
from tests.unit.services.dispatcher.listening import GRACE, INTERVAL, SILENCE, Listening

ANSWER, PAUSE, MOST = 30.0, 60.0, 5


class Health:
    """Health beside a fleet; `applied` does to the directory what the agents' worker answers to a verdict."""

    def __init__(self, *hosts: str, agents: int = 1) -> None:
        self.fleet = Listening(*hosts)
        self.directory = Directory()
        self.health = AgentHealth(
            self.directory, self.fleet.judge, most_unanswered=MOST, answer_seconds=ANSWER, lost_leases=3, pause_seconds=PAUSE
        )
        for number in range(agents):
            self.directory.created(agent(f"agent-{number}"))

    def after(self, seconds: float) -> list[Verdict]:
        """What is found after this time; of the seconds before it is thrown away."""
        self.fleet.seconds(seconds)
        return self.look()

    def look(self) -> list[Verdict]:
        return self.health.verdicts(self.fleet.now)

    def applied(self, verdicts: list[Verdict]) -> None:
        for each in verdicts:
            status = AgentStatus.AVAILABLE if each.failure is None else AgentStatus.UNHEALTHY
            self.directory.status_changed(each.tenant_id, each.agent_id, status, each.version + 1)
            rest: dict[str, Any] = {"tenant_id": each.tenant_id, "agent_id": each.agent_id}
            recovered = AgentRecovered(**rest, recovered_at=MOMENT)
            failed = AgentHealthCheckFailed(**rest, failure_reason=each.text or "x", failed_at=MOMENT)
            self.health.apply(recovered if each.failure is None else failed)

    def gets(self, *tasks: str, agent_id: str = "agent-0") -> None:
        for task_id in tasks:
            self.health.apply(assigned(task_id, agent_id))

    def loses(self, *tasks: str, agent_id: str = "agent-0") -> None:
        for task_id in tasks:
            self.health.apply(reassigned(task_id, agent_id).model_copy(update={"reason": LEASE_EXPIRED}))

    def loses_a_lease(self, agent_id: str = "agent-0") -> None:
        self.gets("task", agent_id=agent_id)
        self.loses("task", agent_id=agent_id)

    def status(self, agent_id: str = "agent-0") -> AgentStatus:
        found = self.directory.find(TENANT, AgentId(agent_id))
        assert found is not None
        return found.status


def test_agents_of_a_kind_with_a_live_host_are_left_alone() -> None:
    assert Health("host-1", agents=3).after(100) == []


def test_agents_of_a_kind_without_a_live_host_are_marked_with_the_reason() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    here.fleet.alive.clear()
    (found,) = here.after(SILENCE + 1)
    assert found == Verdict(TENANT, AgentId("agent-0"), 1, Failure.NO_LIVE_HOST, f"No live host runs agents of kind {KIND}.")


def test_agents_registered_before_any_host_was_there_have_a_time_of_grace() -> None:
    here = Health()
    assert here.after(GRACE - 5) == []
    assert len(here.after(10)) == 0, "the grace begins when the agent is known"
    assert len(here.after(GRACE)) == 1


def test_an_agent_registered_for_a_kind_that_is_silent_is_marked_at_once() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    here.fleet.alive.clear()
    here.applied(here.after(SILENCE + 1))
    assert here.after(1) == []
    here.directory.created(agent("late"))
    assert [found.agent_id for found in here.after(1)] == ["late"]


def test_an_unhealthy_agent_recovers_when_a_host_answers_for_it() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    here.fleet.alive.clear()
    here.applied(here.after(SILENCE + 1))
    assert here.status() is AgentStatus.UNHEALTHY
    here.fleet.alive["host-2"] = (KIND,)
    (found,) = here.after(INTERVAL)
    assert found == Verdict(TENANT, AgentId("agent-0"), 2, None, "")
    here.applied([found])
    assert here.status() is AgentStatus.AVAILABLE
    assert here.after(100) == []


def test_a_new_leader_lets_agents_recover_that_another_marked() -> None:
    here = Health("host-1", agents=0)
    here.directory.created(agent("marked", status=AgentStatus.UNHEALTHY, version=7))
    (found,) = here.after(INTERVAL + 1)
    assert (found.failure, found.version) == (None, 7)


def test_the_orders_of_people_stand_above_findings() -> None:
    here = Health(agents=0)
    for number, status in enumerate((AgentStatus.SUSPENDED, AgentStatus.DRAINING, AgentStatus.TERMINATED)):
        here.directory.created(agent(f"agent-{number}", status=status))
    here.look()
    assert here.after(GRACE * 3) == []


def test_a_broker_away_for_a_minute_marks_nobody() -> None:
    here = Health("host-1", agents=3)
    assert here.after(30) == []
    here.fleet.broker = False
    for _ in range(60):
        assert here.after(1) == []
    here.fleet.broker = True
    for _ in range(60):
        assert here.after(1) == []


# --- how many at a time -----------------------------------------------------------------------------------------------


def test_no_more_verdicts_are_published_than_may_be_unanswered() -> None:
    here = Health("host-1", agents=12)
    here.fleet.seconds(6)
    here.fleet.alive.clear()
    first = here.after(SILENCE + 1)
    assert len(first) == MOST
    assert here.after(1) == []
    here.applied(first)
    second = here.after(1)
    here.applied(second)
    third = here.after(1)
    assert [len(second), len(third)] == [MOST, 2]
    assert len({found.agent_id for found in (*first, *second, *third)}) == 12


def test_a_verdict_without_an_answer_is_made_again_with_the_same_version() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    here.fleet.alive.clear()
    first = here.after(SILENCE + 1)
    assert here.after(ANSWER - 1) == []
    assert here.after(2) == first


def test_a_kind_that_answers_again_before_its_turn_costs_nothing() -> None:
    here = Health("host-1", agents=12)
    here.fleet.seconds(6)
    here.fleet.alive.clear()
    here.applied(here.after(SILENCE + 1))
    here.fleet.alive["host-1"] = (KIND,)
    back = here.after(INTERVAL)
    here.applied(back)
    assert [found.failure for found in back] == [None] * MOST
    assert here.after(100) == []


# --- lost leases ------------------------------------------------------------------------------------------------------


def test_three_leases_lost_in_a_row_make_an_agent_unhealthy_although_a_host_is_live() -> None:
    here = Health("host-1", agents=2)
    here.fleet.seconds(6)
    here.loses_a_lease()
    here.loses_a_lease()
    assert here.after(1) == []
    here.loses_a_lease()
    (found,) = here.after(1)
    assert found == Verdict(TENANT, AgentId("agent-0"), 1, Failure.LEASES_EXPIRED, "The leases of its runs expired 3 times in a row.")
    here.applied([found])
    assert here.after(1) == []


def test_a_host_that_told_of_a_pause_was_there() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    here.loses_a_lease()
    here.loses_a_lease()
    here.gets("task")
    here.health.apply(paused("task", "agent-0"))
    here.loses_a_lease()
    assert here.after(1) == []


def test_all_that_a_host_took_with_it_is_one_time() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    here.gets("a", "b", "c", "d")
    here.loses("a", "b", "c", "d")
    assert here.after(1) == []
    here.gets("a", "b")
    here.loses("a", "b")
    assert here.after(1) == []
    here.gets("a")
    here.loses("a")
    assert len(here.after(1)) == 1


def test_an_agent_that_lost_its_leases_rests_before_it_recovers() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    for _ in range(3):
        here.loses_a_lease()
    here.applied(here.after(1))
    assert here.after(PAUSE - 1) == []
    (found,) = here.after(2)
    assert found.failure is None
    here.applied([found])
    here.loses_a_lease()
    assert here.after(1) == [], "it counts from its recovery on"


def test_a_run_that_its_host_told_of_ends_the_row() -> None:
    success = completed("task").model_copy(update={"agent_id": "agent-0", "outcome": TaskOutcome.SUCCESS})
    failed_attempt = reassigned("task", "agent-0").model_copy(update={"error_type": "ValueError"})
    failure = success.model_copy(update={"outcome": TaskOutcome.FAILURE, "error_type": "ValueError"})
    for told in (success, failed_attempt, failure):
        here = Health("host-1")
        here.fleet.seconds(6)
        here.loses_a_lease()
        here.loses_a_lease()
        here.health.apply(told)
        here.loses_a_lease()
        assert here.after(1) == []


def test_an_end_that_no_host_told_of_says_nothing_of_the_agent() -> None:
    given_up = completed("task").model_copy(update={"agent_id": "agent-0", "outcome": TaskOutcome.FAILURE, "reason": "given_up"})
    for told in (given_up, completed("task"), reassigned("task", "agent-0")):
        here = Health("host-1")
        here.fleet.seconds(6)
        here.loses_a_lease()
        here.loses_a_lease()
        here.health.apply(told)
        here.loses_a_lease()
        assert len(here.after(1)) == 1


def test_leases_of_an_agent_that_nobody_knows_say_nothing() -> None:
    here = Health("host-1")
    here.fleet.seconds(6)
    for _ in range(3):
        here.loses_a_lease("stranger")
    assert here.after(1) == []
