"""The configs of Prometheus and Alertmanager: their own tools accept them, targets are the fleet, each severity has its receiver."""

import re
import string
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.supervisor.scrape_targets import FILE_NAME, JOB
from services.cli.fleet import DEFAULT_FLEET
from tests.alert_rules import ROOT, SEVERITIES, all_rules
from tests.prometheus_server import AlertmanagerServer, alertmanager, needs, tool

PROMETHEUS = ROOT / "infra" / "prometheus"
ALERTMANAGER = ROOT / "infra" / "alertmanager" / "alertmanager.yml"
PLACES = {f"AGENTMESH_{severity.upper()}_URL": f"http://127.0.0.1:1/{severity}" for severity in SEVERITIES}
ALERTS = {rule.name for rule in all_rules() if rule.is_alert}


def config(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8")))


@pytest.fixture
def substituted(tmp_path: Path) -> Path:
    """The config of Alertmanager with the addresses put in, as `envsubst` does."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(string.Template(ALERTMANAGER.read_text(encoding="utf-8")).substitute(PLACES))
    return file


@needs("promtool")
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-local.yml"])
def test_promtool_accepts_the_config(name: str) -> None:
    done = tool("promtool", "check", "config", name, cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout
    assert "8 rule files found" in done.stdout


@needs("promtool")
def test_promtool_catches_a_planted_fault_of_the_config(tmp_path: Path) -> None:
    text = (PROMETHEUS / "prometheus.yml").read_text().replace("scrape_timeout: 10s", "scrape_timeout: 20s")
    (tmp_path / "prometheus.yml").write_text(text)
    assert tool("promtool", "check", "config", "prometheus.yml", cwd=tmp_path).returncode != 0


def test_the_containers_of_the_fleet_are_scraped_under_their_names() -> None:
    job = config("prometheus.yml")["scrape_configs"][0]
    found = job["dns_sd_configs"][0]
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert job["job_name"] == JOB
    assert sorted(found["names"]) == sorted(member.name for member in DEFAULT_FLEET)
    assert set(found["names"]) <= set(compose["services"])
    assert str(found["port"]) == compose["x-worker"]["environment"]["AGENTMESH_HEALTH_PORT"]
    assert {rule["target_label"] for rule in job["relabel_configs"]} == {"worker", "replica"}


def test_the_local_config_reads_the_file_that_the_supervisor_keeps() -> None:
    job = config("prometheus-local.yml")["scrape_configs"][0]
    (file,) = job["file_sd_configs"][0]["files"]
    assert (PROMETHEUS / file).resolve() == ROOT / ".agentmesh" / FILE_NAME


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-local.yml"])
def test_where_runbooks_lie_is_told_to_rules_and_to_nobody_else(name: str) -> None:
    found = config(name)
    assert found["global"]["external_labels"]["runbooks"]
    assert {"action": "labeldrop", "regex": "runbooks"} in found["alerting"]["alert_relabel_configs"]


@needs("amtool")
def test_amtool_accepts_the_config_once_the_addresses_are_in(substituted: Path) -> None:
    done = tool("amtool", "check-config", str(substituted))
    assert done.returncode == 0, done.stdout
    assert tool("amtool", "check-config", str(ALERTMANAGER)).returncode != 0, "an address that was forgotten is not found out"


@needs("amtool")
@pytest.mark.parametrize("severity", [*SEVERITIES, "unheard-of"])
def test_each_severity_has_its_receiver_and_none_is_lost(substituted: Path, severity: str) -> None:
    done = tool("amtool", "config", "routes", "test", f"--config.file={substituted}", f"severity={severity}", "alertname=X")
    assert done.stdout.splitlines()[-1] == (severity if severity in SEVERITIES else "ticket")


def test_inhibitions_speak_of_alerts_that_exist() -> None:
    rules = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))["inhibit_rules"]
    matchers = [matcher for rule in rules for matcher in (*rule["source_matchers"], *rule["target_matchers"])]
    named = [re.fullmatch(r'alertname(=~?)"(.+)"', matcher) for matcher in matchers]
    for operator, pattern in (found.groups() for found in named if found):
        parts = pattern.split("|") if operator == "=~" else [re.escape(pattern)]
        assert all(any(re.fullmatch(part, alert) for alert in ALERTS) for part in parts), pattern
    workers = {name for names in re.findall(r'worker=~?"([a-z|-]+)"', str(rules)) for name in names.split("|")}
    assert "agent-host" in workers
    assert workers <= {member.name for member in DEFAULT_FLEET}


CONSEQUENCES = (
    "ProjectionLagGrowing page worker=projections name=requests",
    "ConsumerLagGrowing page worker=requests name=agentmesh.requests",
    "RelayWithoutLeader page context=tasks",
    "MonitorWithoutLeader page",
    "LagUnknown page",
    "RequestsStuck page kind=request",
    "TasksWaitWithoutAgents page kind=task",
    "ReplicaDown ticket worker=relay instance=relay-1",
    "ComponentDegraded ticket component=database",
    "ErrorLogsBurst ticket worker=requests",
    "GatewayErrorRate ticket slo=availability",
    "GatewayReadsSlow ticket slo=latency-p95",
    "GatewayReadsSlow ticket slo=latency-p99",
    "KeysParked ticket context=requests",
)
BLIND = ("MonitorWithoutLeader", "RelayWithoutLeader", "LagUnknown")
LAGS = ("ProjectionLagGrowing", "ConsumerLagGrowing")


def labels_of(text: str) -> dict[str, str]:
    """The labels of an alert written as NAME SEVERITY LABEL=VALUE …"""
    name, severity, *rest = text.split()
    return {"alertname": name, "severity": severity, **dict(each.split("=", 1) for each in rest)}


def held_back(manager: AlertmanagerServer, cause: str) -> list[str]:
    """The names of the consequences for which a cause speaks; with the label `slo` where they have it.

    Alertmanager takes causes in their order and beside the call: when the last one holds its ticket back, all do.
    """
    last = ("CertificateExpires page certificate=last", "CertificateExpires ticket certificate=last")
    manager.json("POST", "/api/v2/alerts", [{"labels": labels_of(text)} for text in (*CONSEQUENCES, cause, *last)])
    deadline = time.monotonic() + 10
    while labels_of(last[1]) not in (held := [alert["labels"] for alert in manager.alerts() if alert["status"]["inhibitedBy"]]):
        assert time.monotonic() < deadline, held
        time.sleep(0.02)
    held.remove(labels_of(last[1]))
    return sorted(f"{labels['alertname']} {labels['slo']}" if "slo" in labels else labels["alertname"] for labels in held)


@needs("alertmanager")
@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("WorkerDown page worker=relay", ["RelayWithoutLeader", "ReplicaDown", "RequestsStuck"]),
        ("WorkerDown page worker=projections", ["ProjectionLagGrowing"]),
        ("ComponentUnhealthy page component=database",
         [*BLIND, *LAGS, "RequestsStuck", "TasksWaitWithoutAgents", "ComponentDegraded", "ErrorLogsBurst"]),
        ("ComponentDegraded ticket component=cache", []),
        ("GatewayLatencyP95BudgetBurn page slo=latency-p95", ["GatewayReadsSlow latency-p95"]),
    ],
)  # fmt: skip
def test_a_cause_speaks_for_its_consequences_and_for_no_others(substituted: Path, tmp_path: Path, cause: str, expected: list[str]) -> None:
    with alertmanager(tmp_path / "alertmanager", substituted) as manager:
        assert held_back(manager, cause) == sorted(expected)


@needs("alertmanager")
def test_agents_of_many_tenants_that_are_unhealthy_are_one_ticket(substituted: Path, tmp_path: Path) -> None:
    alerts = [{"labels": labels_of(f"AgentsUnhealthy ticket tenant_id=tenant-{number}")} for number in range(20)]
    with alertmanager(tmp_path / "alertmanager", substituted) as manager:
        manager.json("POST", "/api/v2/alerts", alerts)
        deadline = time.monotonic() + 10
        while not (groups := manager.json("GET", "/api/v2/alerts/groups")) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [len(group["alerts"]) for group in groups] == [20]
