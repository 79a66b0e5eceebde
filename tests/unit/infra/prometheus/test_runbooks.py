"""The runbooks: same sections, and every command, setting, query, log and link that they name is there; planted wrong ones are caught."""

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from infra.settings import MeshSettings, variable_names
from services.cli.fleet import DEFAULT_FLEET
from services.cli.main import app
from services.cli.supervision import SUPERVISOR
from services.gateway.settings import GatewaySettings
from tests.alert_rules import ROOT, RUNBOOKS, all_rules, code_lines, exposed_series, expression_faults, kebab

SECTIONS = ["Meaning", "Likely causes", "Checks", "Actions", "Over when"]
PAGES = sorted(RUNBOOKS.glob("*.md"))
ALERTS = {f"{kebab(rule.name)}.md": rule.name for rule in all_rules() if rule.is_alert}
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


@functools.cache
def _agentmesh() -> Any:
    return typer.main.get_command(app)


def command_faults(line: str) -> Iterator[str]:
    """What `agentmesh` would say of a command line, were it typed; the command itself is not run. What stands behind a pipe is not ours."""
    command = _agentmesh()
    words = shlex.split(line.partition(" | ")[0])[1:]
    context: Any = command.context_class(command, info_name="agentmesh")
    try:
        while words and hasattr(command, "resolve_command"):
            name, command, words = command.resolve_command(context, words)
            context = command.context_class(command, info_name=name, parent=context)
        command.make_context(command.name, words)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer brings its own click, whose errors have it
            raise
        yield f"{line}: {error.format_message()}"


def shell_faults(line: str) -> Iterator[str]:
    """Commands of ours, services and logs that do not exist."""
    if line.startswith("agentmesh "):
        yield from command_faults(line)
    if line.startswith("docker compose up"):
        named = [word.partition("=")[0] for word in line.split()[3:] if not word.startswith("-")]
        yield from (f"{line}: there is no service {name}" for name in named if name not in COMPOSE["services"])
        scaled = [word.partition("=")[0] for word in line.partition(" --scale ")[2].split()]
        yield from (f"{line}: a second {name} finds its port taken" for name in scaled if "ports" in COMPOSE["services"].get(name, {}))
    if line.startswith("docker compose run") and (name := line.split()[-1]) not in COMPOSE["services"]:
        yield f"{line}: there is no service {name}"
    names = {member.name for member in DEFAULT_FLEET}
    for log in re.findall(r"\.agentmesh/logs/([a-z*-]+?)(?:-\d+)?\.log", line):
        if log not in {*names, SUPERVISOR, "*"}:
            yield f"{line}: there is no log of {log}"


def page_faults(text: str) -> list[str]:
    """Everything that a runbook names and that is not there."""
    exposed, recorded = exposed_series(), frozenset(rule.name for rule in all_rules() if not rule.is_alert)
    found = [] if re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == SECTIONS else [f"the sections are not {SECTIONS}"]
    found += [fault for line in code_lines(text, "sh") for fault in shell_faults(line)]
    found += [f"{line}: {fault}" for line in code_lines(text, "promql") for fault in expression_faults(line, exposed, recorded)]
    settings = _settings()
    found += [f"{name} is no setting" for name in sorted(set(re.findall(r"AGENTMESH_[A-Z_]+", text)) - settings)]
    found += [f"{link} does not exist" for link in re.findall(r"\b([a-z0-9-]+\.md)\b", text) if link not in ALERTS]
    return found + [f"{name} is no alert" for name in re.findall(r"\b(?:[A-Z][a-z0-9]+){3,}\b", text) if not _known(name)]


def _settings() -> set[str]:
    """The environment variables of the fleet, the gateway and the models."""
    found = {variable for name in MeshSettings.model_fields for variable in variable_names(name)}
    found |= {f"AGENTMESH_GATEWAY_{name.upper()}" for name in GatewaySettings.model_fields}
    return found


def _known(name: str) -> bool:
    """Whether a name in CamelCase is an alert, or something else that is written so."""
    return name in ALERTS.values() or name.endswith("Error")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_names_only_what_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert page_faults(text) == []
    assert text.startswith(f"# {ALERTS[page.name]}\n")
    assert code_lines(text, "promql")
    assert [line for line in code_lines(text, "sh") if line.startswith("agentmesh ")] or page.name == "spans-dropped.md"


def test_every_alert_has_its_runbook() -> None:
    assert {page.name for page in PAGES} == set(ALERTS)


GOOD = "# X\n\n" + "\n".join(f"## {section}\n" for section in SECTIONS)


def test_the_page_in_which_faults_are_planted_has_none() -> None:
    assert page_faults(GOOD + "```sh\nagentmesh dlq show 17 --context requests\n```\n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```sh\nagentmesh dlq lst\n```", "No such command 'lst'"),
        ("```sh\nagentmesh projections list --all\n```", "No such option"),
        ("```sh\nagentmesh dlq show first\n```", "'first' is not a valid int"),
        ("```sh\nagentmesh projections rebuild\n```", "Missing argument"),
        ("```sh\ndocker compose up -d --scale request=2\n```", "there is no service request"),
        ("```sh\ndocker compose up -d --scale gateway=2\n```", "a second gateway finds its port taken"),
        ("```sh\ndocker compose run -d gate\n```", "there is no service gate"),
        ("```sh\ntail .agentmesh/logs/projection-1.log\n```", "there is no log of projection"),
        ("```promql\nrate(http_requests_total[5m])\n```", "asks http_requests_total of every job"),
        ("```promql\nagentmesh_lagg_seconds\n```", "which no worker exposes"),
        ("Raise `AGENTMESH_POOL_SIZE_MAX`.", "AGENTMESH_POOL_SIZE_MAX is no setting"),
        ("See worker-gone.md.", "worker-gone.md does not exist"),
        ("See WorkerIsGone.", "WorkerIsGone is no alert"),
        ("## More\n", "the sections are not"),
    ],
)
def test_a_planted_fault_of_a_runbook_is_caught(text: str, said: str) -> None:
    assert any(said in fault for fault in page_faults(GOOD + text)), page_faults(GOOD + text)
