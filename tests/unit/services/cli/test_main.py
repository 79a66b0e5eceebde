"""The command line as a whole: fast help, documented exit codes, one line for an expected error."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import ConfigurationError, DataError, MeshError, TransientError
from services.cli import exit_codes, main
from services.cli.errors import CommandError, NoAnswer, NotFound, Refused, WrongUsage

ROOT = Path(__file__).resolve().parents[4]
HELP = [sys.executable, "-m", "services.cli.main", "--help"]
EVERY_COMMAND = (
    "demo",
    "up",
    "down",
    "ps",
    "run",
    "publish",
    "events",
    "requests",
    "approvals",
    "tasks",
    "agents",
    "customers",
    "tenants",
    "analytics",
    "dlq",
    "effects",
    "knowledge",
    "projections",
    "users",
    "init",
    "clients",
    "keys",
    "token",
    "migrate",
    "doctor",
    "dev",
)


def plain_environment() -> dict[str, str]:
    """Without what coverage puts into child processes: this is about time."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def test_help_answers_in_under_three_tenths_of_a_second() -> None:
    """By the processor time of the child, which is what it takes on a machine that has nothing else to do."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(HELP, cwd=ROOT, env=plain_environment(), capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert any(seconds() < 0.3 for _ in range(10))


def test_help_imports_none_of_the_heavy_libraries() -> None:
    code = "import sys; from services.cli import main; main.run(['--help']); print('|'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=plain_environment(), capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("\n\n")[2].strip().rsplit("\n", 1)[-1].split("|"))
    assert "typer" in loaded
    assert not loaded & {"pydantic", "psycopg", "aiokafka", "faststream", "rich", "opentelemetry", "eventsourcing", "asyncio"}


def test_help_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in EVERY_COMMAND)
    assert all(f"  {code} " in text for code in (0, 1, 2, 3, 4, 78, 130))


@pytest.mark.parametrize("command", [(), *((name,) for name in EVERY_COMMAND), ("dlq", "requeue"), ("events", "tail")])
def test_every_command_has_a_help_text(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([*command, "--help"]) == 0
    assert "Usage: agentmesh" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["ps", "-o", "xml"], ["dlq", "discard", "1"], ["publish"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == exit_codes.USAGE
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("set it"), 78),
        (TransientError("away"), 4),
        (DataError("too long"), 1),
        (MeshError("something"), 4),
        (Refused("no"), 1),
        (WrongUsage("what"), 2),
        (NotFound("where"), 3),
        (NoAnswer("when"), 4),
    ],
)
def test_an_expected_error_is_one_line_and_a_documented_code(
    error: MeshError | CommandError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    assert main.run([]) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_wrong_setting_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AGENTMESH_PARTITIONS", "many")
    assert main.run(["ps"]) == exit_codes.CONFIGURATION
    assert "AGENTMESH_PARTITIONS" in capsys.readouterr().err


def test_ps_where_nothing_runs_is_an_empty_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTMESH_HOME", str(tmp_path))
    assert main.run(["ps", "-o", "json"]) == 0
    assert capsys.readouterr().out == "[]\n"
    assert main.run(["ps"]) == 0
    assert "agentmesh up" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["migrate"], ["requests", "list"], ["events", "show", "req-1"], ["run", "relay"]])
def test_without_servers_a_command_says_what_to_do(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "POSTGRES_URL", "KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "AGENTMESH_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENTMESH_HOME", str(tmp_path))
    assert main.run(command) == exit_codes.AWAY
    error = capsys.readouterr().err
    assert error.startswith("error: No postgres")
    assert "DATABASE_URL" in error
