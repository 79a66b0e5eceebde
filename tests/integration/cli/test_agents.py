"""Agents and tasks from the command line over the real broker: registered, ordered, worked on by hand, cancelled, shown."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.settings import MeshSettings
from services.cli import exit_codes
from tests.integration.cli.conftest import Cli, wait_for, workers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

REGISTER = ("agents", "register", "--kind", "triage", "--name", "First line", "--capability", "triage=3", "--capability", "a=b=2")
ACME = ("--tenant", "acme", "-o", "json")


@pytest.fixture
def fleet(cli: Cli, mesh_settings: MeshSettings) -> Iterator[None]:
    """The workers of agents and tasks; nobody assigns a task, and no host runs one."""
    with workers(mesh_settings, ("agents", "tasks", "relay", "projections")):
        yield


def register(cli: Cli, agent_id: str, *more: str) -> None:
    answer = cli(*REGISTER, "--id", agent_id, *more, *ACME)
    assert answer.code == exit_codes.OK, answer.err
    assert (answer.json["outcome"], answer.json["agent_id"], answer.json["read_model_version"]) == ("events", agent_id, 1)


def publish(cli: Cli, type_name: str, task_id: str, **fields: Any) -> None:
    answer = cli("publish", type_name, json.dumps({"tenant_id": "acme", "task_id": task_id, **fields}), "-o", "json")
    assert answer.code == exit_codes.OK, answer.out
    assert answer.json["read_model_version"] >= answer.json["version"]


def assign(cli: Cli, task_id: str, agent_id: str) -> None:
    """Queue a task and give it to an agent."""
    publish(cli, "RequestTask", task_id, task_type="triage", kind="triage", subject_id=f"req-of-{task_id}")
    publish(cli, "AssignTask", task_id, agent_id=agent_id, attempt=1)


def ids(cli: Cli, *arguments: str) -> list[str]:
    """The ids that a list answers."""
    return [row[f"{arguments[0][:-1]}_id"] for row in cli(*arguments, *ACME).json]


def test_an_agent_is_registered_ordered_and_shown(fleet: None, cli: Cli) -> None:
    register(cli, "agent-1", "--limit", "2")
    shown = cli("agents", "show", "agent-1", *ACME).json
    assert (shown["status"], shown["open_tasks"], shown["task_limit"], shown["kind"]) == ("available", 0, 2, "triage")
    assert shown["capabilities"] == [{"name": "triage", "level": 3}, {"name": "a=b", "level": 2}]
    assert cli(*REGISTER, "--id", "agent-1", "--limit", "2", *ACME).json["outcome"] == "unchanged"
    assert cli(*REGISTER, "--id", "agent-1", "--limit", "3", *ACME).code == exit_codes.FAILED

    for verb, more, status, reason in (
        ("suspend", ("--reason", "maintenance"), "suspended", "maintenance"),
        ("resume", (), "available", None),
        ("drain", (), "draining", None),
        ("terminate", ("--reason", "retired"), "terminated", "retired"),
    ):
        done = cli("agents", verb, "agent-1", *more, *ACME)
        assert (done.code, done.json["outcome"]) == (exit_codes.OK, "events")
        shown = cli("agents", "show", "agent-1", *ACME).json
        assert (shown["status"], shown["reason"], shown["version"]) == (status, reason, done.json["version"])

    refused = cli("agents", "resume", "agent-1", *ACME)
    assert (refused.code, refused.json["details"]["rule"]) == (exit_codes.FAILED, "agent_terminated")
    table = cli("agents", "show", "agent-1", "--tenant", "acme").out
    assert "triage=3, a=b=2" in table
    assert "retired" in table


def test_an_agent_of_another_tenant_is_not_found(fleet: None, cli: Cli) -> None:
    register(cli, "agent-1")
    assert cli("agents", "show", "agent-1", "--tenant", "globex").code == exit_codes.NOT_FOUND
    assert cli("agents", "list", "--tenant", "globex", "-o", "json").json == []
    assert cli("agents", "list", "--tenant", "globex").out == "No agent of tenant globex matches.\n"
    refused = cli("agents", "suspend", "agent-1", "--tenant", "globex", "-o", "json")
    assert (refused.code, refused.json["code"]) == (exit_codes.FAILED, "RESOURCE_NOT_FOUND")


def test_an_agent_that_holds_as_many_tasks_as_it_may_is_busy(fleet: None, cli: Cli) -> None:
    register(cli, "agent-1", "--limit", "2")
    register(cli, "agent-2")
    assign(cli, "task-1", "agent-1")
    assign(cli, "task-2", "agent-2")
    rows = {row["agent_id"]: row for row in cli("agents", "list", *ACME).json}
    assert {agent: (row["status"], row["open_tasks"]) for agent, row in rows.items()} == {
        "agent-1": ("available", 1),
        "agent-2": ("busy", 1),
    }
    assert ids(cli, "agents", "list", "--status", "busy") == ["agent-2"]
    assert ids(cli, "agents", "list", "--status", "available", "--kind", "triage") == ["agent-1"]
    assert ids(cli, "agents", "list", "--status", "draining") == []
    assert ids(cli, "agents", "list", "--limit", "1") == ["agent-2"]
    assert "busy" in cli("agents", "list", "--tenant", "acme").out
    assert cli("agents", "show", "agent-2", *ACME).json["status"] == "busy"

    publish(cli, "CompleteTask", "task-2", agent_id="agent-2", attempt=1)
    assert cli("agents", "show", "agent-2", *ACME).json["status"] == "available"


def test_a_task_is_listed_shown_with_its_events_and_cancelled(fleet: None, cli: Cli) -> None:
    assign(cli, "task-1", "agent-1")
    publish(cli, "RequestTask", "task-2", task_type="research", kind="research", subject_id="req-2", priority=4)
    assert ids(cli, "tasks", "list") == ["task-2", "task-1"]
    assert ids(cli, "tasks", "list", "--status", "assigned") == ["task-1"]
    assert ids(cli, "tasks", "list", "--kind", "research") == ["task-2"]
    assert ids(cli, "tasks", "list", "--agent", "agent-1") == ["task-1"]
    assert ids(cli, "tasks", "list", "--subject", "req-2") == ["task-2"]
    assert "critical" in cli("tasks", "list", "--tenant", "acme").out

    cancelled = cli("tasks", "cancel", "task-1", "--reason", "withdrawn", *ACME)
    assert (cancelled.code, cancelled.json["outcome"], cancelled.json["read_model_version"]) == (exit_codes.OK, "events", 4)
    assert cli("tasks", "cancel", "task-1", "--reason", "again", *ACME).json["outcome"] == "unchanged"
    shown = cli("tasks", "show", "task-1", *ACME).json
    assert (shown["status"], shown["outcome"], shown["reason"], shown["agent_id"]) == ("done", "FAILURE", "cancelled", "agent-1")
    names = [event["type"].split(".")[2] for event in shown["events"]]
    assert names == ["TaskQueued", "TaskAssigned", "TaskCancelled", "TaskCompleted"]
    table = cli("tasks", "show", "task-1", "--tenant", "acme").out
    assert 'reason="withdrawn"' in table
    assert "req-of-task-1" in table

    assert cli("tasks", "show", "task-1", "--tenant", "globex").code == exit_codes.NOT_FOUND
    assert cli("tasks", "list", "--tenant", "globex").out == "No task of tenant globex matches.\n"
    refused = cli("tasks", "cancel", "task-2", "--reason", "not mine", "--tenant", "globex", "-o", "json")
    assert (refused.code, refused.json["code"]) == (exit_codes.FAILED, "RESOURCE_NOT_FOUND")


def test_without_a_worker_an_order_says_where_to_look(cli: Cli) -> None:
    answer = cli("agents", "suspend", "agent-1", "--timeout", "0.2")
    assert answer.code == exit_codes.AWAY
    assert "agentmesh events show agent-1" in answer.err


def test_hosts_are_listed_from_what_they_say(cli: Cli, mesh_settings: MeshSettings) -> None:
    assert "No host has told of itself" in cli("agents", "hosts").out
    with workers(mesh_settings, ("agent-host", "tests.integration.agents.gated_agent:Gated")):
        wait_for(lambda: bool(cli("agents", "hosts", "-o", "json").json))
        (row,) = cli("agents", "hosts", "-o", "json").json
        assert (row["kinds"], row["state"], row["running"], row["capacity"]) == (["gated"], "live", [], 200)
        assert row["host_id"] in cli("agents", "hosts", "--kind", "gated").out
        assert cli("agents", "hosts", "--kind", "triage", "-o", "json").json == []
    assert cli("agents", "hosts", "-o", "json").json == [], "it said goodbye"
