"""Commands of the CLI run in the test's own process against real servers, and the whole fleet in one process beside it."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
import pytest

from infra.settings import MeshSettings
from infra.supervisor.readiness import is_ready, port_of
from services.cli import main
from tests.mesh import PATIENCE

MESH_VARIABLES = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "AGENTMESH_HOME", "AGENTMESH_TOPIC_PREFIX", "ENVIRONMENT")
PARTITIONS = "3"
WORKERS = ("requests", "relay", "projections")


class Answer(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer of `-o json`."""
        return json.loads(self.out)


Cli = Callable[..., Answer]


@pytest.fixture
def bare_cli(mesh_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Runs a command in the mesh of this test, whose topics do not exist yet."""
    for name in MESH_VARIABLES:
        monkeypatch.setenv(name, mesh_environment[name])
    monkeypatch.setenv("AGENTMESH_PARTITIONS", PARTITIONS)
    levels = {name: logging.getLogger(name).level for name in ("aiokafka", "psycopg.pool")}

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        code = main.run(arguments)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    yield run
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def cli(bare_cli: Cli) -> Cli:
    """Runs a command in the mesh of this test; schema and topics are there, no worker runs."""
    assert bare_cli("migrate").code == 0
    return bare_cli


@pytest.fixture
def working(cli: Cli, mesh_settings: MeshSettings) -> Iterator[None]:
    """Every worker runs and is ready."""
    with workers(mesh_settings):
        yield


@contextmanager
def workers(settings: MeshSettings, names: Sequence[str] = WORKERS) -> Iterator[None]:
    """These workers in one process, as `agentmesh run` carries them; the environment is already that of the mesh."""
    environment = {**os.environ, "AGENTMESH_REPLICA_NAME": "all", "AGENTMESH_POOL_MIN_SIZE": "1"}
    command = [sys.executable, "-m", "services.cli.main", "run", *names]
    with (settings.home / "workers.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: _ready(settings, process), seconds=50)
        yield
    finally:
        process.terminate()
        process.wait(timeout=90)


def _ready(settings: MeshSettings, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (settings.home / "workers.log").read_text()[-3000:]
    port = port_of(settings.state_dir, "all", process.pid)
    return port is not None and is_ready(port)


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Return when it holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds * PATIENCE:g} s"
        time.sleep(0.05)


def execute(settings: MeshSettings, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """One statement in the mesh's database; answers its rows."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else []
