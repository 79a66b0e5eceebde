"""The servers that the tests of metrics and alerts start: what is scraped is found, an alert reaches the webhook and is resolved."""

import json
import time
from pathlib import Path

import pytest
import yaml

from tests.prometheus_server import QueryError, Target, alertmanager, needs, prometheus, routed_to, webhook_receiver

pytestmark = [pytest.mark.integration, needs("prometheus", "alertmanager")]


def test_an_alert_goes_from_a_scraped_metric_to_the_webhook_and_is_resolved(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    gone = {"alert": "WorkerGone", "expr": 'up{job="agentmesh"} == 0', "labels": {"severity": "page"}}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "test", "rules": [gone]}]}))
    found = tmp_path / "targets.json"

    def scrape(*addresses: str) -> None:
        found.with_suffix(".new").write_text(json.dumps([{"targets": list(addresses), "labels": {"worker": "found"}}]))
        found.with_suffix(".new").replace(found)

    scrape("127.0.0.1:1")
    with webhook_receiver() as hook, alertmanager(tmp_path / "alertmanager", routed_to(hook.url)) as manager:
        itself = [Target(manager.address, worker="manager")]
        started = time.time()
        with prometheus(tmp_path / "prometheus", targets=itself, file_sd=found, rule_files=[rules], alertmanager=manager.address) as server:
            server.wait_for('up{worker="manager", replica="1", job="agentmesh"} == 1', 15)
            _, fired = hook.wait_for("WorkerGone", "firing", 20, worker="found")
            assert fired["labels"]["severity"] == "page"
            assert manager.names() == {"WorkerGone"}
            assert [alert["state"] for alert in server.alerts()] == ["firing"]
            scrape(manager.address)
            arrived, _ = hook.wait_for("WorkerGone", "resolved", 20, worker="found")
            assert arrived >= started
            assert server.value('count(up{job="agentmesh"} == 1)') == 2
            assert server.query_range('up{worker="manager"}', started, time.time())[0].value == 1
            with pytest.raises(QueryError, match="parse error"):
                server.query("up{")


def test_a_program_that_is_absent_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    mark = needs("promtool", "amtool").mark
    assert mark.args == (True,)
    assert mark.kwargs["reason"].startswith("promtool, amtool not installed: apt-get install -y --no-install-recommends prometheus")
