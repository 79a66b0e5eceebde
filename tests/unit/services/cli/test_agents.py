"""Commands for agents and tasks before they reach a server: refused arguments, capabilities, pages until enough agents match."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.cli import agents, exit_codes, main
from services.cli.agents import parse_capability
from services.cli.errors import WrongUsage

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
REGISTER = ("agents", "register", "--kind", "triage", "--name", "x")
NOT_CAPABILITIES = ("a", "a=", "=3", "=", "a=0", "a=6", "a=33", "a=high", "a=٣", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("agents", "list", "--status", "odd"),
        ("agents", "list", "--limit", "0"),
        ("agents", "suspend", ""),
        ("agents", "resume", "agent-1", "--reason", "a resumption has none"),
        REGISTER,
        *((*REGISTER, "--capability", text) for text in NOT_CAPABILITIES),
        ("tasks", "list", "--status", "odd"),
        ("tasks", "cancel", "task-1"),
        ("tasks", "cancel", "", "--reason", "withdrawn"),
    ],
)
def test_wrong_usage_is_told_before_any_server_is_asked(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == exit_codes.USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_the_last_equals_sign_is_before_the_level() -> None:
    assert parse_capability("triage=3") == {"name": "triage", "level": 3}
    assert parse_capability("a=b=5") == {"name": "a=b", "level": 5}


@pytest.mark.parametrize("text", NOT_CAPABILITIES)
def test_a_capability_without_a_level_says_how_to_write_one(text: str) -> None:
    with pytest.raises(WrongUsage, match="write NAME=LEVEL with a level from 1 to 5"):
        parse_capability(text)


class Rows:
    """A database with so many available agents, each of limit 1, of which some hold a task; answers the two queries of the list."""

    def __init__(self, count: int, busy: set[int]) -> None:
        self.queries = 0
        self._busy = {f"agent-{number:04}" for number in busy}
        self._rows = [self._row(number) for number in reversed(range(count))]

    @staticmethod
    def _row(number: int) -> tuple[Any, ...]:
        at = NOW + timedelta(seconds=number)
        capabilities = json.dumps([{"name": "triage", "level": 3}])
        return (f"agent-{number:04}", "acme", "x", "triage", capabilities, 1, "available", None, "{}", at, at, 1, number)

    async def fetch(self, query: bytes, parameters: Mapping[str, Any], timeout: float = 30.0) -> Sequence[Sequence[Any]]:
        """What Postgres would answer."""
        self.queries += 1
        if b"read_tasks" in query:
            return [(agent_id, 1) for agent_id in parameters["agents"] if agent_id in self._busy]
        rows = [row for row in self._rows if "after_id" not in parameters or row[0] < parameters["after_id"]]
        return rows[: parameters["limit"]]


@pytest.mark.parametrize(
    ("count", "busy", "status", "limit", "found"),
    [
        (350, {349, 120, 3}, "busy", 50, [349, 120, 3]),
        (350, {349, 120, 3}, "busy", 2, [349, 120]),
        (200, {0}, "busy", 50, [0]),
        (200, set(), "busy", 50, []),
        (0, set(), "busy", 50, []),
        (250, set(range(50, 250)), "available", 3, [49, 48, 47]),
        (3, {1}, None, 50, [2, 1, 0]),
    ],
)
async def test_pages_are_read_until_enough_agents_match(
    count: int, busy: set[int], status: str | None, limit: int, found: list[int]
) -> None:
    rows = Rows(count, busy)
    answer = await agents._agents(rows, "acme", status, None, limit)
    assert [agent.agent_id for agent, _ in answer] == [f"agent-{number:04}" for number in found]
    assert [open_tasks for _, open_tasks in answer] == [int(number in busy) for number in found]
    assert rows.queries <= 2 * (count // agents.SMALLEST_PAGE + 1)
