"""One supervised worker process: started with its log file, watched for readiness, ended by SIGTERM, else by SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from infra.local_stack.processes import start_token
from infra.supervisor.fleet_file import ReplicaRecord, State
from infra.supervisor.log_files import last_words, rotate
from infra.supervisor.readiness import is_ready, port_of


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """What to run. The process must write `<state_dir>/run/<name>.json` with its pid and port, as `infra.runtime.process` does."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


class Replica:
    """The process of one spec, one after the other. `record` is what `fleet.json` says of it."""

    def __init__(self, spec: ReplicaSpec, state_dir: Path) -> None:
        self.spec = spec
        self.log = log_path(state_dir, spec.name)
        self.record = ReplicaRecord(spec.name, "starting")
        self._state_dir = state_dir
        self._process: asyncio.subprocess.Process | None = None
        self._ready_since: float | None = None

    async def start(self) -> None:
        """Start the process, in a session of its own so that a Ctrl-C in the terminal reaches the supervisor alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        rotate(self.log)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                env=dict(self.spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        self._ready_since = None
        self._note(
            "running",
            pid=self._process.pid,
            token=start_token(self._process.pid),
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            port=None,
            ready=False,
            message=None,
        )

    async def wait(self) -> int:
        """The exit code, negative for a signal, when the process has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, grace_seconds: float) -> bool:
        """End the process; True when it ended by itself within the grace period."""
        process = self._process
        if process is None or process.returncode is not None:
            return True
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return False
        return True

    async def look(self) -> None:
        """Ask whether it is ready, and note the answer; keep its log file within bounds."""
        pid = self.record.pid
        if self.record.state != "running" or pid is None:
            return
        with suppress(OSError):  # a full disk must not end the watch
            rotate(self.log, running=True)
        port = port_of(self._state_dir, self.spec.name, pid)
        ready = port is not None and await asyncio.to_thread(is_ready, port)
        if self.record.pid != pid:
            return  # it ended meanwhile
        if not ready:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = time.monotonic()
        self._note("running", port=port, ready=ready)

    def healthy_for(self) -> float:
        """For how many seconds the process has been ready without a gap."""
        return 0.0 if self._ready_since is None else time.monotonic() - self._ready_since

    def ended(self, state: State, message: str | None) -> None:
        """Note that no process runs now, and why."""
        self._ready_since = None
        self._note(state, pid=None, token=None, port=None, ready=False, started_at=None, message=message)

    def count_restart(self) -> None:
        """Note that it is started anew."""
        self.record = replace(self.record, restarts=self.record.restarts + 1)

    def last_words(self) -> str:
        """What the process said last."""
        return last_words(self.log)

    def _note(self, state: State, **values: object) -> None:
        self.record = replace(self.record, state=state, **values)  # type: ignore[arg-type]


def log_path(state_dir: Path, name: str) -> Path:
    """Where the output of a process of this name goes."""
    return state_dir / "logs" / f"{name}.log"


def end_leftover(record: ReplicaRecord, grace_seconds: float) -> bool:
    """End a process that its supervisor left behind (it was killed); True when there was one. Blocks."""
    if not record.alive() or record.pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while record.alive():
        if time.monotonic() >= deadline:
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            deadline += 5
        time.sleep(0.05)
    return True
