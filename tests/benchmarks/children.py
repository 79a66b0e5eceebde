"""The processes that a benchmark starts: each in a session of its own, each ended by its pid, also when the benchmark is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 15.0


class ChildFailed(Exception):
    """A process of the benchmark ended by itself; the message holds the end of its log."""


class Child:
    """One Python module as a process. Its stdout is a JSON line protocol, its stderr a log file, the end of its stdin ends it."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise when it has ended."""
        if self._process.poll() is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-3_000:]
            raise ChildFailed(f"{self.name} ended with exit code {self._process.returncode}:\n{tail}")

    def say(self, word: str) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Wait for one JSON line; lines that are not JSON are logs and are skipped."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith(b"{") and b'"bench"' in line:
                return json.loads(line)["bench"]
        self._process.wait(10)
        self.check()
        raise ChildFailed(f"{self.name} closed its output")

    def drain(self) -> None:
        """Throw away what it prints from now on."""
        threading.Thread(target=self._discard, daemon=True, name=f"drain-{self.name}").start()

    def _discard(self) -> None:
        assert self._process.stdout is not None
        with self.log.open("ab") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()

    def ask_to_stop(self) -> None:
        """SIGTERM, once."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End it: ask, wait, kill."""
        self.ask_to_stop()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue


class Children:
    """All children of one arena; use as a context manager, which ends them all."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    def start(self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str], log_dir: Path) -> Child:
        child = Child(name, module, arguments, environment, log_dir / f"{name}.log")
        self._all.append(child)
        return child

    def check(self, *children: Child) -> None:
        for child in children or self._all:
            child.check()

    def stop(self, *children: Child) -> None:
        ending = list(children or self._all)
        for child in ending:
            child.ask_to_stop()
        for child in ending:
            child.stop()
        self._all = [child for child in self._all if child not in ending]

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def tell(value: object) -> None:
    """In a child: say something to the benchmark."""
    print(json.dumps({"bench": value}), flush=True)


def end_with_parent() -> None:
    """In a child that reads nothing: end when the benchmark is gone, whatever it died of."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()
