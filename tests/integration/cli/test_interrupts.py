"""Ctrl-C at commands that take their time: a live stream says where to resume, a redrive says how many were marked."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.settings import MeshSettings
from services.cli import exit_codes
from tests.integration.cli.conftest import Cli, execute, wait_for
from tests.integration.cli.test_dead_letters import park

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CASE = json.dumps({"customer_id": "cust-0042", "message": "My invoice of May is wrong"})


@contextmanager
def typed(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own; the environment is already that of the mesh."""
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", *arguments],
        env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_live_stream_shows_what_comes_and_says_where_to_resume(working: None, cli: Cli) -> None:
    assert cli("publish", "CreateRequest", CASE, "--key", "req-before").code == 0
    lines: list[str] = []
    with typed("events", "tail", "--from-start", "-o", "json") as tail:
        assert tail.stdout is not None
        reading = threading.Thread(target=lambda: lines.extend(iter(tail.stdout.readline, "")), daemon=True)
        reading.start()
        wait_for(lambda: len(lines) == 1)
        assert cli("publish", "CreateRequest", CASE, "--key", "req-after").code == 0
        wait_for(lambda: len(lines) == 2)
        tail.send_signal(signal.SIGINT)
        assert tail.wait(timeout=20) == 0
        reading.join(timeout=5)
        assert tail.stderr is not None
        assert "resume with: agentmesh events tail --from-position requests:2" in tail.stderr.read()
    assert [json.loads(line)["aggregate_id"] for line in lines] == ["req-before", "req-after"]


def test_a_redrive_is_stopped_between_two_records_and_says_how_far_it_got(cli: Cli, mesh_settings: MeshSettings) -> None:
    park(mesh_settings, *(f"req-{number}" for number in range(5)))

    def marked() -> int:
        return int(execute(mesh_settings, "SELECT count(*) FROM requests.dead_letters WHERE status = 'requeued'")[0][0])

    with typed("dlq", "requeue", "--all", "--rate", "0.5", "-o", "json") as redrive:
        wait_for(lambda: marked() >= 1)
        redrive.send_signal(signal.SIGINT)
        out, _ = redrive.communicate(timeout=20)
    assert redrive.returncode == exit_codes.INTERRUPTED
    answer = json.loads(out)
    assert (answer["marked"], answer["complete"], answer["records"]) == (marked(), False, 10)
    assert 1 <= answer["marked"] < 10
