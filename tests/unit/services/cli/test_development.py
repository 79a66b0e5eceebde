"""The developer's steps: said aloud, and a failed one ends the command non-zero."""

from pathlib import Path

import pytest

from services.cli.development import FORMAT, LINT, SCHEMAS, run_steps, source_tree, steps_of_test
from services.cli.errors import WrongUsage

ROOT = Path(__file__).resolve().parents[4]
GOOD = ("look at the time", ("timeit", "-n", "1", "-r", "1", "pass"))
BAD = ("run what is not there", ("no_such_module_anywhere",))


def test_the_source_tree_is_found_from_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "tests" / "unit")
    assert source_tree() == ROOT


def test_outside_a_source_tree_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongUsage, match="source tree"):
        run_steps((GOOD,))


def test_each_step_says_what_it_does_and_that_it_finished(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert run_steps((GOOD, GOOD)) == 0
    error = capfd.readouterr().err
    assert error.count("look at the time: python -m timeit") == 2
    assert error.count("look at the time: finished") == 2
    assert error.endswith("all steps finished\n")


def test_a_failed_step_ends_the_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert run_steps((BAD, GOOD)) == 1
    error = capfd.readouterr().err
    assert "run what is not there: FAILED" in error
    assert "look at the time" not in error


def test_checks_all_run_even_after_one_failed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert run_steps((BAD, GOOD), go_on=True) == 1
    error = capfd.readouterr().err
    assert "look at the time: finished" in error
    assert error.endswith("failed: run what is not there\n")


def test_the_steps_are_those_of_the_requirement() -> None:
    tools = [command[0] for _, command in (*FORMAT, *LINT, *SCHEMAS, *steps_of_test(["-k", "x"]))]
    assert {"ruff", "mypy", "bandit", "coverage", "infra.asyncapi"} <= set(tools)
    assert steps_of_test(["-k", "x"])[0][1][-2:] == ("-k", "x")
    assert any("html" in command for _, command in steps_of_test([]))
