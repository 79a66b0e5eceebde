"""Starts a server process that outlives its starter and tells later whether a recorded process is still that very one.

A pid alone proves nothing: pids are used again, in containers soon. A process is ours when its pid is alive and its start time is
the recorded one; a record without a start time (the starter died in between) counts when the command line names our folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.local_stack.errors import LocalStackError

# The shell records the pid before we hear of it, so a starter that is killed meanwhile leaves no unknown server behind.
_SPAWN = """
log=$1; pid_file=$2; shift 2
"$@" >>"$log" 2>&1 </dev/null &
echo $! >"$pid_file.new" && mv "$pid_file.new" "$pid_file"
"""


@dataclass(frozen=True)
class Account:
    """The operating system user that a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class ProcessRecord:
    """One pid file. `folder` is a path that the process's command line names."""

    path: Path
    folder: Path

    def pid(self) -> int | None:
        """The pid of the recorded process if that very process is alive, else None."""
        try:
            first, *rest = self.path.read_text(encoding="utf-8").split()
            pid = int(first)
        except (OSError, ValueError):
            return None
        started = start_token(pid)
        if started is None:
            return None
        if rest:
            return pid if rest[0] == started else None
        return pid if str(self.folder) in command_line(pid) else None

    def seal(self, pid: int) -> None:
        """Add the start time to a fresh record."""
        started = start_token(pid)
        if started is not None:
            self.path.write_text(f"{pid} {started}\n", encoding="utf-8")

    def clear(self) -> None:
        """Forget the process."""
        self.path.unlink(missing_ok=True)


def spawn(
    command: Sequence[str], record: ProcessRecord, *, log: Path, cwd: Path, env: Mapping[str, str], account: Account | None = None
) -> int:
    """Start a command in a session of its own, its output appended to `log`; answers its pid, already recorded."""
    record.clear()
    shell = ["/bin/sh", "-c", _SPAWN, "spawn", str(log), str(record.path), *command]
    run_as(shell, account, cwd=cwd, env=env, timeout=20)
    pid = int(record.path.read_text(encoding="utf-8"))
    record.seal(pid)
    return pid


def run_as(command: Sequence[str], account: Account | None, *, cwd: Path, env: Mapping[str, str], timeout: float) -> str:
    """Run a command to its end, as another user if given; answers its output, raises LocalStackError with it on failure."""
    identity = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    try:
        done = subprocess.run(
            list(command),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            timeout=timeout,
            check=False,
            **identity,  # type: ignore[call-overload]
        )
    except subprocess.TimeoutExpired:
        raise LocalStackError(f"{command[0]} did not end within {timeout:g} s.") from None
    if done.returncode != 0:
        raise LocalStackError(f"{command[0]} failed with exit code {done.returncode}:\n{done.stdout.strip()[-2000:]}")
    return str(done.stdout)


def start_token(pid: int) -> str | None:
    """What tells this process from an earlier one with the same pid; None when it does not run (a zombie does not)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.parent.parent.joinpath("self").exists():
        return _start_token_by_ps(pid)
    try:
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _start_token_by_ps(pid: int) -> str | None:
    fields = _ps(pid, "stat=,lstart=").split()
    return None if not fields or fields[0].startswith("Z") else "-".join(fields[1:])


def command_line(pid: int) -> str:
    """The command line of a process, empty when it does not run."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return _ps(pid, "args=")


def _ps(pid: int, columns: str) -> str:
    with suppress(OSError):
        done = subprocess.run(["ps", "-o", columns, "-p", str(pid)], capture_output=True, text=True, check=False)
        return done.stdout.strip()
    return ""


def send_signal(pid: int, number: int) -> None:
    """Send a signal; a process that is gone already is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until_gone(record: ProcessRecord, timeout: float) -> bool:
    """Whether the recorded process ended within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while record.pid() is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def terminate(record: ProcessRecord, first: int, grace: float) -> None:
    """Ask the recorded process to end, wait `grace` seconds, then kill it. Only ever touches the recorded process."""
    pid = record.pid()
    if pid is not None:
        send_signal(pid, first)
        if not wait_until_gone(record, grace):
            send_signal(pid, signal.SIGKILL)
            if not wait_until_gone(record, 10):
                raise LocalStackError(f"Process {pid} does not end, not even by SIGKILL.")
    record.clear()
