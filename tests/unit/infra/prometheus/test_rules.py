"""The committed rules: promtool accepts them and their tests, each alert has all that it needs, and planted faults are caught."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.supervisor.scrape_targets import JOB
from services.cli.fleet import DEFAULT_FLEET
from tests.alert_rules import (
    CASES,
    RULES,
    RUNBOOKS,
    Rule,
    all_cases,
    all_rules,
    cases_of,
    exposed_series,
    faults,
    kebab,
    rules_of,
    scaled,
)
from tests.prometheus_server import needs, tool

FILES = sorted(path.name for path in RULES.glob("*.yml"))
TESTS = sorted(path.name for path in CASES.glob("*.yml"))


def pages() -> list[str]:
    return [path.name for path in RUNBOOKS.glob("*.md") if path.name != "README.md"]


# -- promtool ----------------------------------------------------------------------------------------------------------


@needs("promtool")
def test_promtool_accepts_every_rule() -> None:
    done = tool("promtool", "check", "rules", *FILES, cwd=RULES)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("SUCCESS") == len(FILES) >= 8


@needs("promtool")
@pytest.mark.parametrize("name", TESTS)
def test_every_alert_fires_when_it_should_and_only_then(name: str) -> None:
    done = tool("promtool", "test", "rules", name, cwd=CASES, seconds=150)
    assert done.returncode == 0, done.stdout
    assert "SUCCESS" in done.stdout


@needs("promtool")
def test_promtool_catches_an_alert_that_fires_at_another_value(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    text = (RULES / "callers.yml").read_text()
    (tmp_path / "rules" / "callers.yml").write_text(
        text.replace("sign_in_failures_total[5m])) > 20", "sign_in_failures_total[5m])) > 2000")
    )
    (tmp_path / "tests" / "callers.yml").write_text((CASES / "callers.yml").read_text())
    done = tool("promtool", "test", "rules", "callers.yml", cwd=tmp_path / "tests")
    assert done.returncode != 0
    assert "SignInFailuresBurst" in done.stdout


# -- what each alert must have -----------------------------------------------------------------------------------------


def test_every_rule_is_whole_and_reads_what_workers_expose(capsys: pytest.CaptureFixture[str]) -> None:
    rules = all_rules()
    assert faults(rules, all_cases(), pages()) == []
    alerts = [rule for rule in rules if rule.is_alert]
    with capsys.disabled():
        print(f"\nalerts: {len(alerts)} rules of {len({rule.name for rule in alerts})} names, {len(rules) - len(alerts)} recorded series")
    assert len(alerts) >= 30


GOOD_RULE = """
groups:
  - name: planted
    rules:
      - alert: ReplicaDown
        expr: up{job="agentmesh"} == 0
        for: 2m
        labels: {severity: ticket}
        annotations:
          summary: down
          description: down
          runbook_url: '{{ $externalLabels.runbooks }}/replica-down.md'
"""
GOOD_CASES = """
tests:
  - input_series: [{series: 'up{job="agentmesh"}', values: 0x9}]
    alert_rule_test:
      - {eval_time: 5m, alertname: ReplicaDown, exp_alerts: [{exp_labels: {severity: ticket}}]}
      - {eval_time: 1m, alertname: ReplicaDown, exp_alerts: []}
"""


def planted(old: str, new: str, *, cases: str = GOOD_CASES, runbooks: tuple[str, ...] = ("replica-down.md",)) -> list[str]:
    assert old in GOOD_RULE
    return faults(rules_of(GOOD_RULE.replace(old, new), "planted.yml"), cases_of(cases), runbooks)


def test_the_rule_in_which_faults_are_planted_has_none() -> None:
    assert planted("down", "down") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("severity: ticket", "severity: urgent", "has the severity 'urgent'"),
        ("labels: {severity: ticket}", "labels: {}", "has the severity ''"),
        ("          summary: down\n", "", "has no summary"),
        ("          description: down\n", "", "has no description"),
        ("        for: 2m\n", "", "has no `for`"),
        ("/replica-down.md", "/replica.md", "does not link its runbook"),
        ("alert: ReplicaDown", "alert: replica_down", "is not named in CamelCase"),
        ("alert: ReplicaDown", "alert: ReplicaGone", "fires in no test"),
        ("up{job", "agentmesh_lagg_seconds{job", "names the series agentmesh_lagg_seconds, which no worker exposes"),
        ('up{job="agentmesh"}', 'agentmesh_lag_seconds{sort="relay"}', "for the label sort, which it does not have"),
        ('up{job="agentmesh"}', 'http_request_duration_seconds_bucket{le="0.10"}', "for the bound 0.10, which it does not have"),
        ('up{job="agentmesh"} == 0', "sum(up", "is no PromQL"),
        ('up{job="agentmesh"}', 'up{worker="relay"}', "asks up of every job"),
    ],
)
def test_a_planted_fault_of_a_rule_is_caught(old: str, new: str, said: str) -> None:
    assert any(said in fault for fault in planted(old, new)), planted(old, new)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("exp_alerts: [{exp_labels: {severity: ticket}}]", "exp_alerts: []", "fires in no test"),
        ("severity: ticket", "severity: page", "fires in no test"),
        ("exp_alerts: []", "exp_alerts: [{exp_labels: {severity: ticket}}]", "is quiet in no test"),
        ("eval_time: 1m, alertname: ReplicaDown", "eval_time: 1m, alertname: ReplicaUp", "tests ReplicaUp, which is no alert"),
        ("series: 'up{", "series: 'down{", "is quiet in no test that has its series"),
    ],
)
def test_a_planted_fault_of_a_test_is_caught(old: str, new: str, said: str) -> None:
    assert old in GOOD_CASES
    found = planted("down", "down", cases=GOOD_CASES.replace(old, new))
    assert any(said in fault for fault in found), found


def test_a_runbook_that_is_missing_or_of_no_alert_is_caught() -> None:
    assert any("has no runbook docs/runbooks/replica-down.md" in fault for fault in planted("down", "down", runbooks=()))
    found = planted("down", "down", runbooks=("replica-down.md", "of-nothing.md"))
    assert found == ["docs/runbooks/of-nothing.md: is the runbook of no alert"]


def test_a_recorded_series_is_named_by_level_metric_and_operations() -> None:
    text = "groups: [{name: x, rules: [{record: lag_max, expr: max(agentmesh_lag_seconds)}]}]"
    assert faults(rules_of(text, "x.yml"), [], []) == ["x.yml: lag_max is not named level:metric:operations"]


def test_names_of_alerts_become_names_of_files() -> None:
    assert kebab("GatewayLatencyP95BudgetBurn") == "gateway-latency-p95-budget-burn"


# -- what the rules say of the fleet and of the targets ----------------------------------------------------------------


def rule(name: str, severity: str = "page") -> Rule:
    return next(rule for rule in all_rules() if rule.name == name and rule.severity == severity)


def test_absence_is_asked_of_every_worker_of_the_default_fleet() -> None:
    asked = re.findall(r'absent\(up\{job="(\w+)",worker="([a-z-]+)"\}\)', rule("WorkerDown").body["expr"])
    assert [worker for _, worker in asked] == [member.name for member in DEFAULT_FLEET]
    assert {job for job, _ in asked} == {JOB}


def test_the_latency_targets_are_bounds_of_the_histogram() -> None:
    assert {"0.1", "0.5", "1.0"} <= exposed_series()["http_request_duration_seconds_bucket"].bounds


@pytest.mark.parametrize(
    ("alert", "budget"), [("GatewayAvailability", "0.001"), ("GatewayLatencyP95", "0.05"), ("GatewayLatencyP99", "0.01")]
)
def test_budgets_burn_by_the_windows_and_rates_of_the_workbook(alert: str, budget: str) -> None:
    """The product of burn rate and long window is the part of a month's budget that is gone when the alert fires."""

    def pairs(severity: str) -> list[tuple[str, str]]:
        """(window, burn rate) in their order; no rate means 1."""
        found = re.findall(rf"rate(\w+) > (?:([\d.]+) \* )?{budget}", rule(f"{alert}BudgetBurn", severity).body["expr"])
        return [(window, rate or "1") for window, rate in found]

    assert pairs("page") == [("1h", "14.4"), ("5m", "14.4"), ("6h", "6"), ("30m", "6")]
    assert pairs("ticket") == [("1d", "3"), ("2h", "3"), ("3d", "1"), ("6h", "1")]


# -- faster rules ------------------------------------------------------------------------------------------------------


def test_a_faster_rule_has_every_duration_divided_and_nothing_else_changed() -> None:
    body: dict[str, Any] = {
        "alert": "ProjectionLagGrowing",
        "expr": 'x:agentmesh_lag_seconds:max{kind="a"} > 30 and deriv(x:agentmesh_lag_seconds:max[5m]) > 0 or y:z:rate1h > 2',
        "for": "2m",
        "labels": {"severity": "page"},
    }
    text = yaml.safe_dump({"groups": [{"name": "x", "rules": [body, {"record": "a:b:rate5m", "expr": "rate(b_total[5m] offset 1h)"}]}]})
    faster, recorded = rules_of(scaled(text, 20))
    assert faster.body == {
        **body,
        "for": "6000ms",
        "expr": 'x:agentmesh_lag_seconds:max{kind="a"} > 1.5 and deriv(x:agentmesh_lag_seconds:max[15000ms]) > 0 or y:z:rate1h > 2',
    }
    assert recorded.body == {"record": "a:b:rate5m", "expr": "rate(b_total[15000ms] offset 180000ms)"}


@needs("promtool")
def test_the_faster_rules_are_rules(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text(scaled((RULES / name).read_text(), 20))
    done = tool("promtool", "check", "rules", *FILES, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    slow, fast = all_rules(), all_rules(tmp_path)
    assert [each.name for each in slow] == [each.name for each in fast]
    assert not [each.name for each, faster in zip(slow, fast, strict=True) if each.is_alert and each.body["for"] == faster.body["for"]]
