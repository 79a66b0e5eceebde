"""What the local servers have in common: started, reused, stopped and killed by the stack, the CLI and the chaos tests."""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from infra.local_stack.errors import ServerFailedToStart
from infra.local_stack.ports import PortBook
from infra.local_stack.processes import ProcessRecord, send_signal, spawn, terminate, wait_until_gone
from infra.local_stack.progress import Progress, silent


class LocalServer(ABC):
    """One server of one stack. Everything it owns lives in `<state_dir>/servers/<name>`.

    `start` is idempotent: a running server that answers is reused, a running one that does not is ended first, leftovers of a
    crash are cleared. Objects hold no state of their own: another process may start, stop or kill the same server.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[int] = signal.SIGTERM
    stop_seconds: ClassVar[float] = 20.0
    ready_seconds: ClassVar[float] = 120.0
    answer_seconds: ClassVar[float] = 10.0

    def __init__(self, state_dir: Path, progress: Progress = silent) -> None:
        self.directory = state_dir / "servers" / self.name
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.ports = PortBook(self.directory / "ports.json")
        self.record = ProcessRecord(self.directory / "pid", self.directory)
        self.progress = progress

    @abstractmethod
    def endpoint(self) -> str:
        """The address that clients use, as known from the last start."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server does its work now; never raises."""

    @abstractmethod
    def _prepare(self) -> None:
        """Create what the server needs before its process starts, and clear what a crash left."""

    @abstractmethod
    def _spawn(self) -> int:
        """Start the process; answers its pid."""

    def _settle(self) -> None:  # noqa: B027 - most servers have nothing left to do
        """What is left to do when the server answers, and is harmless to repeat."""

    @property
    def pid(self) -> int | None:
        """The pid of the running server, or None."""
        return self.record.pid()

    def is_running(self) -> bool:
        """Whether the process that we started is alive; it may still be starting, or hang."""
        return self.pid is not None

    def start(self) -> None:
        """Return when the server answers. Raises ServerFailedToStart with the end of its log."""
        if self.is_running():
            if self._wait_for_answer(self.answer_seconds):
                return
            self.progress(f"{self.name} runs but does not answer: starting it anew")
            self.stop()
        began = time.monotonic()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._prepare()
        self._launch()
        self._settle()
        self.progress(f"{self.name} is ready at {self.public_endpoint()} ({time.monotonic() - began:.1f} s)")

    def stop(self) -> None:
        """End the server in its clean way; after `stop_seconds` by SIGKILL. Returns when the process is gone."""
        terminate(self.record, self.stop_signal, self.stop_seconds)

    def restart(self) -> None:
        """Stop, then start on the same port and data."""
        self.stop()
        self.start()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the running server, as a crash would come; waits for the end when the signal ends it."""
        pid = self.pid
        if pid is None:
            return
        send_signal(pid, number)
        if number == signal.SIGKILL:
            wait_until_gone(self.record, 10)

    def public_endpoint(self) -> str:
        """The address without a password."""
        return self.endpoint()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def environment(self) -> dict[str, str]:
        """A small environment: nothing of the caller's that a server could take for its own configuration."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def spawn(self, command: list[str]) -> int:
        """Start the server's process as the current user."""
        return spawn(command, self.record, log=self.log, cwd=self.directory, env=self.environment())

    def _launch(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        self._spawn()
        if not self._wait_for_answer(self.ready_seconds):
            ended = not self.is_running()
            self.stop()
            what = "ended while starting" if ended else f"did not answer within {self.ready_seconds:g} s"
            raise ServerFailedToStart(f"{self.name} {what}. The end of its log, {self.log}:\n{self.log_tail()}")

    def _wait_for_answer(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.is_running():
            if self.answers():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        return False
