"""The Dockerfile: what the image is made of and runs as; and what hadolint, which parses and lints it, has to say, where it is here."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"
SOURCES = ("contracts", "infra", "projections", "services")
TEXT = DOCKERFILE.read_text(encoding="utf-8")
INSTALL = ".venv/bin/python -m pip install --require-hashes --only-binary :all: -r infra/docker/requirements-lint.lock"
COMPILERS = re.compile(r"\b(gcc|g\+\+|build-essential|clang|make|apt-get|apk)\b")


def instructions(text: str) -> list[tuple[str, str]]:
    """Name and arguments of each instruction, continued lines joined, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [(name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def stages(text: str) -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions(text):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def faults(text: str) -> list[str]:
    """What is wrong with the last stage, which is the image, and with what it comes from."""
    last, named = stages(text)[-1], dict(stages(text)[-1])
    base = dict(part.split("=", 1) for name, part in instructions(text) if name == "ARG" and "=" in part).get("PYTHON_IMAGE", "")
    installs = [
        step for stage in stages(text) for name, rest in stage if name == "RUN" for step in rest.split("&&") if "pip install" in step
    ]
    wrong = {
        "its base is not pinned by tag and digest": not re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base),
        "a stage has another base": {stage[0][1].split()[0] for stage in stages(text)} - {"${PYTHON_IMAGE}", "packages"} != set(),
        "it has one stage": len(stages(text)) < 2,
        "it runs as root, or as a name": not re.fullmatch(r"[1-9]\d*:[1-9]\d*", named.get("USER", "")),
        "it has no health check": "/health/ready" not in named.get("HEALTHCHECK", ""),
        "it has no labels": "org.opencontainers.image.licenses" not in named.get("LABEL", ""),
        "it installs in the last stage": any("pip install" in rest or COMPILERS.search(rest) for name, rest in last if name == "RUN"),
        "a compiler comes in": any(COMPILERS.search(rest) for name, rest in instructions(text) if name == "RUN"),
        "it installs what is not locked": any("--require-hashes" not in each and "--no-index" not in each for each in installs),
        "it compiles packages": any("--require-hashes" in each and "--only-binary :all:" not in each for each in installs),
        "it adds by ADD": any(name == "ADD" for name, _ in instructions(text)),
    }
    return [what for what, holds in wrong.items() if holds]


def test_the_image_is_small_pinned_and_not_root() -> None:
    assert faults(TEXT) == []
    assert ("ENTRYPOINT", '["agentmesh"]') in stages(TEXT)[-1]


@pytest.mark.parametrize(
    ("line", "planted", "says"),
    [
        ("-slim-bookworm@sha256:", "-slim-bookworm AS x@sha256:", "not pinned"),
        ("FROM packages AS app", "FROM python:latest AS app", "another base"),
        ("USER 10001:10001", "USER agentmesh", "root"),
        ("USER 10001:10001", "", "root"),
        ("/health/ready", "/", "health check"),
        ("LABEL org.opencontainers.image.title", "ENV X", "labels"),
        ("RUN useradd", "RUN apt-get install -y gcc && useradd", "last stage"),
        ("RUN python -m venv /app", "RUN apt-get install -y build-essential && python -m venv /app", "compiler"),
        ("--require-hashes --only-binary :all: -r requirements-runtime.lock", "-r requirements-runtime.lock", "not locked"),
        (" --only-binary :all: -r requirements-runtime.lock", " -r requirements-runtime.lock", "compiles"),
        ("COPY contracts contracts", "ADD contracts contracts", "ADD"),
    ],
)
def test_a_planted_fault_is_caught(line: str, planted: str, says: str) -> None:
    assert line in TEXT
    assert any(says in fault for fault in faults(TEXT.replace(line, planted)))


def test_the_build_sees_every_file_that_the_image_is_made_of_and_no_other() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {name for _, rest in instructions(TEXT) if _ == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    assert "*" in ignored
    assert {name.split("/")[0] for name in copied} == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    assert {"**/__pycache__", "**/.agentmesh"} <= set(ignored)


DEPLOYMENT = ("docker", "grafana", "prometheus", "alertmanager", "kubernetes", "terraform")
"""Folders of infra/ that others read: no worker does."""


def unpacked(tracked: Iterable[str]) -> list[str]:
    """Files beside the code that the wheel leaves out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = ["*.py", *project["package-data"]["*"]]
    read = [
        path for path in tracked if path.split("/")[0] in SOURCES and not path.startswith(tuple(f"infra/{each}/" for each in DEPLOYMENT))
    ]
    return [path for path in read if not any(fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)]


def test_every_file_that_a_worker_reads_beside_its_code_is_in_the_wheel() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len([path for path in tracked if path.endswith(".sql")]) > 50
    assert unpacked(tracked) == []
    assert unpacked(["services/gateway/console/page.jinja", "infra/grafana/x.svg", "tests/x.bin"]) == [
        "services/gateway/console/page.jinja"
    ]


def test_what_builds_the_wheel_is_locked_as_elsewhere() -> None:
    own, whole = (path.read_text(encoding="utf-8") for path in (FOLDER / "requirements-build.lock", ROOT / "requirements.lock"))
    pins = re.findall(r"^([a-z0-9-]+==\S+)", own, flags=re.MULTILINE)
    assert pins
    assert all(pin in whole for pin in pins)
    assert re.findall(r"--hash=sha256:[0-9a-f]{64}", own)


# --- hadolint -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hadolint() -> str:
    """The linter: the one of this environment, else one on the path."""
    beside = Path(sys.executable).with_name("hadolint")
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    if found is None:
        pytest.skip(f"hadolint is not installed: {INSTALL}")
    return found


def lint(hadolint: str, text: str) -> tuple[int, str]:
    done = subprocess.run([hadolint, "--no-color", "-"], input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_test_command_installs_the_linter() -> None:
    """Without it these tests are skipped, and nobody notices."""
    assert re.search(r"^test:.* \$\(LINTER\) ", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_hadolint_has_nothing_to_say(hadolint: str) -> None:
    assert lint(hadolint, TEXT) == (0, "")


@pytest.mark.parametrize(
    ("line", "planted", "says"),
    [
        ("WORKDIR /tmp", "WORKDIR tmp", "DL3000"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ("FROM packages AS app", "FROM python:latest AS app", "DL3007"),
        ("COPY contracts contracts", "ADD contracts contracts", "DL3020"),
        ("USER 10001:10001", "USERS 10001:10001", "missing whitespace"),
    ],
)
def test_hadolint_catches_a_planted_fault(hadolint: str, line: str, planted: str, says: str) -> None:
    assert line in TEXT
    code, said = lint(hadolint, TEXT.replace(line, planted))
    assert (code, says in said) == (1, True), said
