"""However many tenants and agents there are, what a process shows stays bounded, and nothing is lost in `other` (OBS-33)."""

from prometheus_client import generate_latest

from infra.telemetry.metrics import Metrics

STATUSES = ("available", "busy", "suspended", "unhealthy")
OUTCOMES = ("SUCCESS", "FAILURE", "TIMEOUT")
TENANTS, AGENTS, TASK_TYPES = 5_000, 10_000, ("triage", "research", "resolution")


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by the values of their labels."""
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    return {tuple(sample.labels.values()): sample.value for sample in samples if sample.name == name}


def test_5000_tenants_and_10000_agents_leave_a_bounded_number_of_series() -> None:
    metrics = Metrics()
    metrics.active_agents.replace({(f"tenant-{number}", status): 2.0 for number in range(TENANTS) for status in STATUSES})
    for number in range(AGENTS):
        agent_id = f"agent-{number}"
        for task_type in TASK_TYPES:
            metrics.task_execution_seconds.labels(agent_id=agent_id, task_type=task_type).observe(0.3)
        for outcome in OUTCOMES:
            metrics.tasks_completed_total.labels(agent_id=agent_id, status=outcome).inc()
        metrics.health_check_failures_total.labels(agent_id=agent_id, failure_reason="no_live_host").inc()
    text = generate_latest(metrics.registry).decode()
    names = 1_001  # the first thousand values, and `other`
    assert text.count("\nagentmesh_active_agents{") == names * len(STATUSES)
    assert text.count("\nagentmesh_tasks_completed_total{") == names * len(OUTCOMES)
    assert text.count("\nagentmesh_health_check_failures_total{") == names
    assert text.count("\nagentmesh_task_execution_seconds_bucket{") == names * len(TASK_TYPES) * 7
    assert len([line for line in text.splitlines() if not line.startswith("#")]) < 36_000
    assert len(text) < 5_000_000
    # And all of them are counted.
    assert sum(series(metrics, "agentmesh_active_agents").values()) == TENANTS * len(STATUSES) * 2
    assert sum(series(metrics, "agentmesh_tasks_completed_total").values()) == AGENTS * len(OUTCOMES)
    assert series(metrics, "agentmesh_health_check_failures_total")["other", "no_live_host"] == AGENTS - 1_000


def test_a_gauge_of_many_shows_the_sum_of_the_others_and_not_the_last_of_them() -> None:
    metrics = Metrics(label_limit=2)
    counts = {("a", "available"): 1.0, ("b", "available"): 2.0, ("c", "available"): 3.0, ("d", "available"): 4.0, ("d", "busy"): 5.0}
    metrics.active_agents.replace(counts)
    assert series(metrics, "agentmesh_active_agents") == {
        ("a", "available"): 1,
        ("b", "available"): 2,
        ("other", "available"): 7,
        ("other", "busy"): 5,
    }


def test_what_is_replaced_is_not_shown_any_more_and_comes_back_under_its_own_name() -> None:
    metrics = Metrics(label_limit=2)
    metrics.lag_seconds.replace({("relay", "a"): 1.0, ("relay", "b"): 2.0})
    metrics.lag_seconds.replace({("relay", "b"): 3.0})
    assert series(metrics, "agentmesh_lag_seconds") == {("relay", "b"): 3}
    metrics.lag_seconds.replace({("relay", "a"): 4.0, ("relay", "late"): 5.0})
    assert series(metrics, "agentmesh_lag_seconds") == {("relay", "a"): 4, ("relay", "other"): 5}


def test_a_gauge_that_is_cleared_or_whose_child_is_removed_begins_anew() -> None:
    gauge = Metrics().consumer_lag_messages
    first = gauge.labels("g", "t", 0)
    first.set(7)
    gauge.remove("g", "t", "0")
    gauge.remove("g", "t", "0")
    assert gauge.labels("g", "t", 0) is not first
    gauge.clear()
    assert [sample for family in gauge.collect() for sample in family.samples] == []
    gauge.labels("g", "t", 0).set(1)
    assert [sample.value for family in gauge.collect() for sample in family.samples] == [1]


class Seen(str):
    """A label's value that counts how often it is looked at as text."""

    looks = 0

    def __str__(self) -> str:
        Seen.looks += 1
        return str.__str__(self)


def test_what_is_taken_away_costs_no_look_at_all_that_stays() -> None:
    metrics = Metrics()
    gauge = metrics.lag_seconds
    for number in range(500):
        gauge.labels("relay", Seen(number)).set(number)
    Seen.looks = 0
    gauge.replace({("relay", "7"): 1.0})
    assert Seen.looks == 0, "a thousand tenants whose agents change their status at once must not hold the dispatcher up"
    assert series(metrics, "agentmesh_lag_seconds") == {("relay", "7"): 1}
