"""Worker names on the command line, and the fleet that `up` runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from infra.agents.base import Agent
from infra.settings import MeshSettings, load_settings
from projections.catalogue import KEPT_BY_SERVICES, read_models
from services.cli.errors import WrongUsage
from services.cli.fleet import DEFAULT_FLEET, replica_counts, replica_specs
from services.cli.workers import BUILDERS, ProcessPlan, builders, plan_of, worker_names


@pytest.fixture
def settings(tmp_path: Path) -> MeshSettings:
    loaded = load_settings(home=tmp_path)
    return loaded.with_endpoints(postgres_dsn="postgresql://a/b", redis_url="redis://c", kafka_bootstrap="d:1")


@pytest.mark.parametrize(
    ("names", "plan"),
    [
        (["requests"], ProcessPlan(("requests",), None)),
        (["requests", "relay", "requests"], ProcessPlan(("requests", "relay"), None)),
        (["projections"], ProcessPlan((), ())),
        (["relay", "projections", "requests", "requests"], ProcessPlan(("relay",), ("requests",))),
        (["agent-host", "a.b:C", "a.b:D", "a.b:C"], ProcessPlan((), None, ("a.b:C", "a.b:D"))),
        (["relay", "agent-host", "a:B", "projections"], ProcessPlan(("relay",), (), ("a:B",))),
    ],
)
def test_what_follows_projections_names_read_models(names: list[str], plan: ProcessPlan) -> None:
    assert plan_of(names) == plan


def test_an_unknown_worker_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(WrongUsage, match=r"no worker 'rellay'.*requests, .*tasks, .*relay, gateway, agent-host, projections"):
        plan_of(["rellay"])


def test_an_agent_host_needs_agents() -> None:
    with pytest.raises(WrongUsage, match="module:Class"):
        plan_of(["agent-host"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.agents:Agent", "cannot be imported"),
        ("services.support_agents.agents:Missing", "no class of agents"),
        ("services.support_agents.agents:ModelUsage", "no class of agents"),
        ("infra.agents.base:Agent", "needs a kind"),
        ("tests.unit.services.cli.test_workers:Unable", "has no capabilities"),
        ("tests.unit.services.cli.test_workers:TooGood", "levels 1 to 5"),
        ("tests.unit.services.cli.test_workers:Idle", "does not define handle"),
    ],
)
def test_what_is_no_agent_is_refused(name: str, says: str) -> None:
    with pytest.raises(WrongUsage, match=says):
        builders(plan_of(["agent-host", name]))


class Unable(Agent):
    kind = "unable"
    capabilities: ClassVar[Mapping[str, int]] = {}


class TooGood(Agent):
    kind = "good"
    capabilities: ClassVar[Mapping[str, int]] = {"all": 6}


class Idle(Agent):
    kind = "idle"
    capabilities: ClassVar[Mapping[str, int]] = {"waiting": 1}


def test_an_unknown_read_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(WrongUsage, match=r"There is no read model 'x'; there are: requests"):
        builders(plan_of(["projections", "x"]))


def test_every_worker_has_a_builder() -> None:
    found = builders(plan_of([*BUILDERS, "projections"]))
    shown = [model for model in read_models() if model not in KEPT_BY_SERVICES]
    assert list(found) == [*BUILDERS, *(f"projections.{model.name}" for model in shown), "projections.rebuilds"]
    assert all(callable(build) for build in found.values())


def test_every_member_of_the_fleet_is_a_worker() -> None:
    carried = set()
    for member in DEFAULT_FLEET:
        plan = plan_of(member.arguments)
        carried |= {*plan.services, *(["projections"] if plan.read_models is not None else []), *(["agent-host"] if plan.agents else [])}
    assert carried == set(worker_names())


def test_replicas_are_counted_from_texts() -> None:
    ones = {member.name: 1 for member in DEFAULT_FLEET}
    assert replica_counts([]) == ones
    assert replica_counts(["requests=3, relay=0", "projections=2"]) == {**ones, "requests": 3, "relay": 0, "projections": 2}


@pytest.mark.parametrize(
    "text",
    [
        "requests",
        "requests=",
        "requests=-1",
        "requests=65",
        "requests=²",
        "messages=1",
        ",".join(f"{member.name}=0" for member in DEFAULT_FLEET),
    ],
)
def test_a_count_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="--replicas"):
        replica_counts([text])


def test_replicas_are_numbered_and_know_their_servers(settings: MeshSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_HEALTH_PORT", "8080")
    specs = replica_specs(replica_counts(["requests=2,relay=0"]), settings)
    assert [spec.name for spec in specs] == [
        "requests-1",
        "requests-2",
        "tasks-1",
        "directory-1",
        "workflow-1",
        "agent-host-1",
        "projections-1",
        "gateway-1",
    ]
    assert specs[1].command[-2:] == ("run", "requests")
    environment = specs[1].environment
    assert environment["AGENTMESH_REPLICA_NAME"] == "requests-2"
    assert environment["AGENTMESH_HEALTH_PORT"] == "0"
    assert environment["AGENTMESH_HOME"] == str(tmp_path.resolve())
    assert (environment["DATABASE_URL"], environment["KAFKA_BOOTSTRAP_SERVERS"]) == ("postgresql://a/b", "d:1")
