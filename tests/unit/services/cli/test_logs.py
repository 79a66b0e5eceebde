"""`agentmesh logs`: files of several workers merged by time, filtered, shown to people and to programs, followed while they come and go."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.cli import exit_codes, main
from services.cli.log_lines import LogFilter, newest_first, parse_line, shown
from services.cli.logs import last_lines

START = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
REQUEST = "req-550e8400-e29b-41d4-a716-446655440000"


def written(second: float, message: str, level: str = "info", **fields: Any) -> str:
    """A line as a worker writes it."""
    time_text = (START + timedelta(seconds=second)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    ids = dict.fromkeys(("trace_id", "span_id", "correlation_id", "causation_id", "request_id", "user_id", "tenant_id"))
    line = {"timestamp": time_text, "level": level, "message": message, "service": "agentmesh-requests", "name": "t", **ids, **fields}
    return json.dumps(line)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The logs of a fleet that does not run any more."""
    monkeypatch.setenv("AGENTMESH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    failure = {"type": "ValueError", "message": "x", "traceback": "Traceback\n  f.py"}
    logs = tmp_path / ".agentmesh" / "logs"
    logs.mkdir(parents=True)
    (logs / "requests-1.log.1").write_text(written(0, "zero") + "\n")
    (logs / "requests-1.log").write_text(
        f"{written(1, 'one', request_id=REQUEST, tenant_id='acme', correlation_id='c-1')}\n"
        f"{written(4, 'four', 'error', tenant_id='acme', exception=failure)}\n"
        "Fatal Python error: a plain line\n  of two\n"
    )
    (logs / "relay-1.log").write_text(
        f"{written(2, f'two names {REQUEST}', 'warning', extra={'tenant_id': 'other', 'n': 3})}\n"
        f"{written(3, f'three names {REQUEST}0', 'debug')}\n"
    )
    return logs


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.run(("logs", *arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def messages(text: str) -> list[str]:
    return [json.loads(line)["message"] for line in text.splitlines()]


def test_lines_of_all_workers_are_merged_by_time_and_plain_lines_stay_where_they_were(folder: Path, capsys: Any) -> None:
    code, out, err = run(capsys, "-o", "json")
    assert code == 0
    assert messages(out) == [
        "zero",
        "one",
        f"two names {REQUEST}",
        f"three names {REQUEST}0",
        "four",
        "Fatal Python error: a plain line",
        "  of two",
    ]
    assert "no fleet runs here now" in err
    assert out.splitlines()[0] == written(0, "zero")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("-n", "2", "--worker", "relay"), ["two", "three"]),
        (("--request", REQUEST), ["one", "two"]),
        (("--tenant", "acme"), ["one", "four"]),
        (("--tenant", "other"), ["two"]),
        (("--correlation", "c-1"), ["one"]),
        (("--level", "warning"), ["two", "four", "Fatal", ""]),
        (("--worker", "requests-1", "--level", "info", "-n", "3"), ["four", "Fatal", ""]),
        (("--since", (START + timedelta(seconds=2)).isoformat(), "--worker", "relay-1"), ["two", "three"]),
        (("--since", (START + timedelta(seconds=100)).isoformat()), []),
        (("-n", "0"), []),
    ],
)
def test_filters(folder: Path, capsys: Any, options: tuple[str, ...], found: list[str]) -> None:
    code, out, _ = run(capsys, "-o", "json", *options)
    assert code == 0
    assert [message.split(" ")[0] for message in messages(out)] == found


def test_people_read_time_level_worker_message_and_ids_with_the_exception_below(folder: Path, capsys: Any) -> None:
    _, out, _ = run(capsys)
    lines = out.splitlines()
    assert lines[1] == (f"2026-05-04 09:30:01.000 INFO     requests-1     one request_id={REQUEST} correlation_id=c-1 tenant_id=acme")
    assert lines[2].startswith("2026-05-04 09:30:02.000 WARNING  relay-1        two names")
    assert "tenant_id=other n=3" in lines[2]
    assert lines[5:7] == ["    Traceback", "      f.py"]
    assert "\x1b" not in out


def test_colours_and_nothing_else_reaches_the_terminal() -> None:
    line = parse_line("requests-1", written(0, "\x1b[2J\u202eevil\r\n", "error", extra={"x": "\x07"}))
    text = shown(line, coloured=True)
    assert "\x1b[31mERROR   \x1b[0m" in text
    assert "\x1b[2J" not in text
    assert not {"\u202e", "\x07", "\r", "\n"} & set(text)


def test_what_is_asked_in_vain_is_said(tmp_path: Path, folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run(capsys, "--request", "req-nobody")
    assert (code, out, "no line fits" in err, "LOG_LEVEL=DEBUG" in err) == (0, "", True, True)
    assert "no line fits" not in run(capsys, "--request", REQUEST)[2]
    assert run(capsys, "--level", "loud")[0] == exit_codes.USAGE
    assert run(capsys, "--since", "yesterday")[0] == exit_codes.USAGE
    code, _, err = run(capsys, "--worker", "odd")
    assert (code, "none has left logs of odd" in err) == (exit_codes.NOT_FOUND, True)
    monkeypatch.setenv("AGENTMESH_HOME", str(tmp_path / "empty"))
    code, _, err = run(capsys)
    assert (code, "agentmesh up" in err) == (exit_codes.NOT_FOUND, True)


def test_plain_lines_without_a_dated_one_before_them_are_shown_first() -> None:
    lines = list(newest_first("x", ["last plain", written(1, "dated"), "first plain"]))
    assert [(line.raw[:10], line.time[17:19]) for line in lines] == [
        ("last plain", "01"),
        (written(1, "dated")[:10], "01"),
        ("first plai", ""),
    ]
    assert parse_line("x", "{broken").fields is None
    assert parse_line("x", "{}").fields is None


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    import tracemalloc

    files = {}
    for name in ("a-1", "b-1"):
        files[name] = tmp_path / f"{name}.log"
        with files[name].open("w") as file:
            for number in range(20_000):
                file.write(written(number / 100, f"{name} {number}") + "\n")
    tracemalloc.start()
    found = last_lines(files, LogFilter(), 10, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    names = [f"{name} {number}" for number in range(19_995, 20_000) for name in ("a-1", "b-1")]
    assert sorted(str(line.fields["message"]) for line in found if line.fields) == sorted(names)
    assert peak < 3_000_000


@pytest.fixture
def following(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `agentmesh logs -f` in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "services.cli.main", "logs", "-f", "-o", "json", *options]
        started.append(subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_logs_are_followed_over_rotation_and_new_workers_until_ctrl_c(
    folder: Path, following: Callable[..., subprocess.Popen[str]]
) -> None:
    process = following("-n", "1", "--worker", "relay", "--worker", "requests")
    assert process.stdout is not None
    first = process.stdout.readline()  # of the three plain or dated lines at the end, the last
    assert json.loads(first)["message"] == "  of two"
    with (folder / "relay-1.log").open("a") as file:
        file.write(written(10, "before rotation") + "\n")
    (folder / "relay-1.log").replace(folder / "relay-1.log.1")
    (folder / "relay-1.log").write_text(written(11, "after rotation") + "\n")
    (folder / "requests-2.log").write_text(written(12, "of a new worker") + "\n")
    (folder / "other-1.log").write_text(written(13, "of another kind") + "\n")
    assert sorted(json.loads(process.stdout.readline())["message"] for _ in range(3)) == [
        "after rotation",
        "before rotation",
        "of a new worker",
    ]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err


def test_a_reader_that_has_seen_enough_ends_it_quietly(folder: Path, following: Callable[..., subprocess.Popen[str]]) -> None:
    process = following()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with (folder / "relay-1.log").open("a") as file:
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            file.write(written(20, "more") + "\n")
            file.flush()
            time.sleep(0.05)
    assert process.wait(timeout=5) == 0
    assert "Traceback" not in process.stderr.read()
    process.stdout = None
