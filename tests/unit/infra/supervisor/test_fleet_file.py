"""What a supervisor writes about its fleet is read back as it was; what is no fleet is none."""

import os
from pathlib import Path

import pytest

from infra.local_stack.processes import start_token
from infra.supervisor.fleet_file import FILE_NAME, FleetRecord, ReplicaRecord, read_fleet, remove_fleet, write_fleet
from infra.supervisor.supervisor import AlreadySupervised, is_supervised, supervisor_lock

REPLICAS = (ReplicaRecord("requests-1", "running", 12, "99", 8080, True, 3), ReplicaRecord("relay-1", "failed", message="no tables"))
RECORD = FleetRecord(os.getpid(), "1", "2026-01-01T00:00:00+00:00", REPLICAS)


def test_a_fleet_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_fleet(tmp_path, RECORD)
    assert read_fleet(tmp_path) == RECORD
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0
    remove_fleet(tmp_path)
    remove_fleet(tmp_path)
    assert read_fleet(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1, "replicas": [{"unknown": 1}]}', "null"])
def test_a_file_that_is_not_ours_is_no_fleet(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert read_fleet(tmp_path) is None


def test_a_pid_that_was_used_again_is_not_the_recorded_process() -> None:
    mine = start_token(os.getpid())
    assert ReplicaRecord("x", "running", os.getpid(), mine).alive()
    assert not ReplicaRecord("x", "running", os.getpid(), "1").alive()
    assert not ReplicaRecord("x", "waiting").alive()
    assert not RECORD.supervised()


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    assert not is_supervised(tmp_path)
    with supervisor_lock(tmp_path):
        assert is_supervised(tmp_path)
        with pytest.raises(AlreadySupervised), supervisor_lock(tmp_path):
            pass
    assert not is_supervised(tmp_path)
