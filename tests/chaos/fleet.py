"""Starts real worker processes, kills, pauses and ends them by pid, and starts a killed one again at once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.05
METRICS_SECONDS = 1.0
COMMAND_WORKERS = ("requests", "tasks", "directory")
LOG_NOISE = re.compile(r',"\w+":null|"service":"[^"]*",')
ABSORBED = re.compile(r"^\w*duplicates_absorbed\w*_total(?:\{.*\})? (\S+)", re.MULTILINE)


@dataclass
class Member:
    """One place in the fleet: whoever holds it now, and what became of those before."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restart: bool = True
    """Whether somebody else takes the place when its process ends."""
    asked: bool = False
    """Whether this process was told to end; one that ends by itself is a finding."""
    starts: int = 0
    absorbed: dict[int, float] = field(default_factory=dict)
    """Redeliveries absorbed by each process that held the place, as far as it was seen to count."""


class Fleet:
    """Use as `async with Fleet(...) as fleet`; whatever still runs is killed at the end."""

    def __init__(self, environment: Mapping[str, str], folder: Path, launcher: str = "tests.chaos.launch") -> None:
        self._launcher = launcher
        self._environment = dict(environment)
        self._folder = folder
        self._members: dict[str, Member] = {}
        self._watch: asyncio.Task[None] | None = None
        self.kills: Counter[str] = Counter()
        self.died: list[str] = []
        """Processes that ended without being told to."""

    async def __aenter__(self) -> Fleet:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._watch = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for member in self._members.values():
            if member.process is not None and member.process.poll() is None:
                member.process.send_signal(signal.SIGCONT)
                member.process.kill()
                await asyncio.to_thread(member.process.wait)
            self._forget(member)

    # -- starting and watching ---------------------------------------------------------------------------------------

    def start(self, name: str, *arguments: str, restart: bool = True) -> None:
        """Start `requests-1` and the like; the arguments are the launcher's."""
        before = self._members.get(name)
        if before is not None:
            self._forget(before)
        member = Member(name, arguments or (name.split("-")[0],), self._folder / f"{name}.log", restart=restart)
        self._members[name] = member
        self._spawn(member)

    def _spawn(self, member: Member) -> None:
        environment = {**self._environment, "AGENTMESH_REPLICA_NAME": member.name}
        member.asked = False
        member.starts += 1
        with member.log.open("ab") as log:
            log.write(f"--- start {member.starts} at {time.strftime('%X')}\n".encode())
            member.process = subprocess.Popen(
                [sys.executable, "-m", self._launcher, *member.arguments],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _keep(self) -> None:
        """Start again what ended, at once; note what the living have absorbed."""
        looked = 0.0
        while True:
            for member in self._members.values():
                if member.process is not None and (code := member.process.poll()) is not None:
                    if not member.asked:
                        self.died.append(f"{member.name} ended by itself with exit code {code}")
                    self._forget(member)
                    if member.restart:
                        self._spawn(member)
            if time.monotonic() - looked > METRICS_SECONDS:
                looked = time.monotonic()
                await asyncio.gather(*(self._note_absorbed(member) for member in self._members.values()))
            await asyncio.sleep(POLL_SECONDS)

    def _forget(self, member: Member) -> None:
        process, member.process = member.process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()

    async def _note_absorbed(self, member: Member) -> None:
        if member.process is None or not member.name.startswith(COMMAND_WORKERS):
            return
        status, text = await self.get(member.name, "/metrics", timeout=0.5)
        if status == 200:
            member.absorbed[member.starts] = sum(float(value) for value in ABSORBED.findall(text))

    @property
    def absorbed(self) -> int:
        """Redelivered and repeated commands that were seen to be absorbed; a process that is killed takes its last second with it."""
        return round(sum(sum(member.absorbed.values()) for member in self._members.values()))

    @property
    def starts(self) -> int:
        """How many processes were started."""
        return sum(member.starts for member in self._members.values())

    def pid(self, name: str) -> int:
        """The pid of whoever holds the place now."""
        process = self._members[name].process
        if process is None:
            raise AssertionError(f"{name} does not run")
        return process.pid

    def running(self, name: str) -> bool:
        """Whether a process holds the place now."""
        process = self._members[name].process
        return process is not None and process.poll() is None

    def serves(self, name: str) -> bool:
        """Whether a process that nobody has told to end has said where it serves its health."""
        return self.running(name) and not self._members[name].asked and self.port(name) is not None

    # -- signals -----------------------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """SIGKILL; somebody else takes the place at once."""
        member = self._members[name]
        if member.process is not None and member.process.poll() is None:
            member.asked = True
            member.process.kill()
            self.kills[name.split("-")[0]] += 1

    def pause(self, name: str) -> int:
        """SIGSTOP; answers the pid to resume."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        return pid

    def resume(self, name: str, pid: int) -> None:
        """SIGCONT, if that very process is still there."""
        process = self._members[name].process
        if process is not None and process.pid == pid and process.poll() is None:
            process.send_signal(signal.SIGCONT)

    async def terminate(self, name: str, seconds: float = 30.0) -> int:
        """SIGTERM; answers the exit code. AssertionError when it has not ended in time."""
        member = self._members[name]
        process = member.process
        assert process is not None, f"{name} does not run"
        member.asked = True
        process.terminate()
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            assert time.monotonic() < deadline, f"{name} did not end within {seconds} s of SIGTERM\n{self.tail(name)}"
            await asyncio.sleep(0.01)
        return process.returncode

    # -- looking -----------------------------------------------------------------------------------------------------

    def port(self, name: str) -> int | None:
        """Where the process serves its health, when it has said so."""
        member = self._members[name]
        path = Path(self._environment["AGENTMESH_HOME"]) / ".agentmesh" / "run" / f"{name}.json"
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return int(found["port"]) if member.process is not None and found["pid"] == member.process.pid else None

    async def get(self, name: str, path: str, timeout: float = 10.0) -> tuple[int, str]:
        """One HTTP request to a worker: status and body; status 0 when it does not answer."""
        port = self.port(name)
        return (0, "no port") if port is None else await asyncio.to_thread(_get, f"http://127.0.0.1:{port}{path}", timeout)

    async def wait_ready(self, *names: str, seconds: float = 120.0) -> None:
        """Wait until these workers say that they are ready."""
        deadline = time.monotonic() + seconds
        for name in names:
            while (answer := await self.get(name, "/health/ready"))[0] != 200:
                assert time.monotonic() < deadline, f"{name} is not ready after {seconds} s: {answer}\n{self.tail(name)}"
                await asyncio.sleep(0.1)

    def tail(self, name: str, lines: int = 40) -> str:
        """The end of a worker's log."""
        text = self._members[name].log.read_text(encoding="utf-8", errors="replace")
        kept = [LOG_NOISE.sub("", line) for line in text.splitlines() if '"psycopg.pool"' not in line and '"httpx2"' not in line]
        return f"--- the end of the log of {name}\n" + "\n".join(kept[-lines:])

    def tails(self, lines: int = 40) -> str:
        """The ends of all logs."""
        return "\n".join(self.tail(name, lines) for name in self._members)


def _get(url: str, timeout: float) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (OSError, ValueError) as error:
        return 0, repr(error)
