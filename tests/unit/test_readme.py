"""The README says what the code does: the settings, the commands, the paths it names."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from contracts.registry import COMMANDS
from infra.agents.base import Agent
from infra.agents.testkit import handled
from infra.models.scripted import ScriptedModel
from infra.settings import settings_table

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_generated_one() -> None:
    table = re.search(r"<!-- settings: [^>]*-->\n(.*?)\n<!-- end of settings -->", README, re.DOTALL)
    assert table is not None
    assert table.group(1) == settings_table().strip(), "run settings_table() of infra.settings and put its text into the README"


def test_every_command_type_is_named() -> None:
    assert [name for name in COMMANDS if name.split(".")[2] not in README] == []


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_there_are_as_many_alerts_and_dashboards_as_it_says() -> None:
    alerts = {name for path in (ROOT / "infra/prometheus/rules").glob("*.yml") for name in re.findall(r"- alert: (\w+)", path.read_text())}
    assert re.findall(r"(\d+) alerts, each with a \[runbook\]", README) == [str(len(alerts))]
    assert len(list((ROOT / "infra/grafana/dashboards").glob("*.json"))) == 7
    assert "one of seven dashboards" in README


@pytest.mark.parametrize("agent", ["Greeter", "Listener"])
def test_the_agents_of_the_readme_work_as_it_says(agent: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = next(block for block in blocks if f"class {agent}" in block)
    check = next(block for block in blocks if f"handled({agent}()" in block)
    names: dict[str, Any] = {"handled": handled, "Agent": Agent, "BaseModel": BaseModel, "ScriptedModel": ScriptedModel}
    exec(code, names)
    exec("async def check():\n    " + check.replace("\n", "\n    "), names)
    asyncio.run(names["check"]())
