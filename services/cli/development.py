"""Runs the steps of a developer's day in the source tree, says what each does and whether it finished; the work behind `dev`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from services.cli import exit_codes
from services.cli.errors import WrongUsage
from services.cli.output import tell

CODE = ("contracts", "services", "projections", "infra")
MARK = "pyproject.toml"

Step = tuple[str, tuple[str, ...]]

FORMAT: tuple[Step, ...] = (
    ("mend what ruff can mend", ("ruff", "check", "--fix-only", *CODE, "tests")),
    ("format", ("ruff", "format", *CODE, "tests")),
)
LINT: tuple[Step, ...] = (
    ("check the format", ("ruff", "format", "--check", *CODE, "tests")),
    ("lint", ("ruff", "check", *CODE, "tests")),
    ("check the types", ("mypy",)),
    ("look for security faults", ("bandit", "-q", "-c", "pyproject.toml", "-r", *CODE)),
)
SCHEMAS: tuple[Step, ...] = (("write JSON Schemas and the AsyncAPI document", ("infra.asyncapi",)),)


PYTEST = ("coverage", "run", "-m", "pytest")
ALL_TESTS: tuple[Step, ...] = (
    ("run the tests that run side by side", (*PYTEST, "-m", "not alone", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")),
    ("run the tests that need the machine to themselves", (*PYTEST, "-m", "alone")),
)


def steps_of_test(arguments: Sequence[str]) -> tuple[Step, ...]:
    """All tests (or those of the arguments, one at a time) with coverage, and its report in htmlcov."""
    return (
        *([("run the tests", (*PYTEST, *arguments))] if arguments else ALL_TESTS),
        ("combine what was covered", ("coverage", "combine", "-q")),
        ("write the coverage report to htmlcov/index.html", ("coverage", "html", "-q")),
        ("show the coverage", ("coverage", "report")),
    )


def source_tree() -> Path:
    """The folder of the source tree, from the working directory upwards. Raises WrongUsage where there is none."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / MARK).is_file() and (folder / "contracts").is_dir() and (folder / "tests").is_dir():
            return folder
    raise WrongUsage("agentmesh dev works in a source tree of AgentMesh: change into one.")


def run_steps(steps: Sequence[Step], *, go_on: bool = False) -> int:
    """Run each step as `python -m …`; stops at the first that fails unless `go_on`. Answers 0 or 1."""
    root = source_tree()
    failed = []
    for what, command in steps:
        tell(f"{what}: python -m {' '.join(command)}")
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", *command], cwd=root, check=False).returncode
        seconds = f"{time.monotonic() - began:.1f} s"
        if code == 0:
            tell(f"{what}: finished ({seconds})")
            continue
        tell(f"{what}: FAILED with exit code {code} ({seconds})")
        failed.append(what)
        if not go_on:
            break
    if failed:
        tell(f"failed: {', '.join(failed)}")
        return exit_codes.FAILED
    tell("all steps finished")
    return exit_codes.OK
