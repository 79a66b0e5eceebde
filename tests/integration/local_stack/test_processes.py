"""A recorded process is recognised by more than its pid, and nothing but the recorded process is ever ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local_stack import processes
from infra.local_stack.errors import LocalStackError
from infra.local_stack.processes import ProcessRecord, run_as, spawn, terminate

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[ProcessRecord]:
    record = ProcessRecord(tmp_path / "pid", tmp_path)
    yield record
    terminate(record, signal.SIGKILL, 5)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def start(record: ProcessRecord, *command: str) -> int:
    log = record.folder / "log"
    return spawn(command or SLEEP, record, log=log, cwd=record.folder, env={"PATH": os.defpath, "NAME": "value"})


def test_a_spawned_process_is_recorded_and_found(record: ProcessRecord) -> None:
    pid = start(record)
    assert record.pid() == pid


def test_an_ended_process_is_not_found(record: ProcessRecord) -> None:
    pid = start(record)
    terminate(record, signal.SIGTERM, 5)
    assert record.pid() is None
    assert not record.path.exists()
    assert processes.start_token(pid) is None


def test_a_process_that_ignores_the_first_signal_is_killed_after_the_grace_time(record: ProcessRecord) -> None:
    ready = record.folder / "ready"
    deaf = "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{deaf}; pathlib.Path('ready').touch(); time.sleep(60)"
    start(record, sys.executable, "-c", code)
    deadline = time.monotonic() + 10
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    terminate(record, signal.SIGTERM, 0.2)
    assert record.pid() is None


def test_another_process_with_the_recorded_pid_is_not_ours_and_survives(record: ProcessRecord, bystander: subprocess.Popen[bytes]) -> None:
    record.path.write_text(f"{bystander.pid} 12345\n")
    assert record.pid() is None
    terminate(record, signal.SIGKILL, 1)
    assert bystander.poll() is None


def test_a_record_without_start_time_counts_only_when_the_command_line_names_the_folder(
    record: ProcessRecord, bystander: subprocess.Popen[bytes]
) -> None:
    record.path.write_text(f"{bystander.pid}\n")
    assert record.pid() is None
    pid = start(record, sys.executable, "-c", "import time; time.sleep(60)", str(record.folder))
    record.path.write_text(f"{pid}\n")
    assert record.pid() == pid


def test_a_zombie_is_not_running() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert processes.start_token(process.pid) is None


def test_start_times_are_also_read_where_there_is_no_proc_folder(bystander: subprocess.Popen[bytes]) -> None:
    if not processes._ps(os.getpid(), "stat="):
        pytest.skip("no ps on this machine")
    token = processes._start_token_by_ps(bystander.pid)
    assert token is not None
    assert token == processes._start_token_by_ps(bystander.pid)
    assert processes._start_token_by_ps(2**22 + 1) is None


def test_a_garbled_pid_file_is_nobody(record: ProcessRecord) -> None:
    record.path.write_text("not a number")
    assert record.pid() is None
    record.path.write_text("")
    assert record.pid() is None


def test_the_environment_of_a_spawned_process_is_what_was_given_and_its_output_goes_to_the_log(record: ProcessRecord) -> None:
    start(record, "/bin/sh", "-c", "echo $NAME; echo ${HOME:-none} >&2")
    log = record.folder / "log"
    deadline = time.monotonic() + 10
    while log.read_text().count("\n") < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log.read_text() == "value\nnone\n"


def test_a_failed_command_tells_its_output(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match=r"exit code 3:\nbad luck"):
        run_as(["/bin/sh", "-c", "echo bad luck >&2; exit 3"], None, cwd=tmp_path, env={}, timeout=10)
    with pytest.raises(LocalStackError, match=r"did not end within 0\.1 s"):
        run_as(["/bin/sh", "-c", "sleep 5"], None, cwd=tmp_path, env={}, timeout=0.1)
