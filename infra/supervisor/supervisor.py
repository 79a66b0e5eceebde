"""Keeps worker processes running until it is told to stop; run by `agentmesh up`, in the foreground or in the background.

Promises: a process that dies is started again after the policy's delay, except one whose configuration was refused; one supervisor at
a time works in a state folder; what a killed supervisor left running is ended before anything is started; `fleet.json` and
the targets of Prometheus follow in a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.errors import EXIT_CONFIGURATION
from infra.local_stack.processes import start_token
from infra.supervisor.fleet_file import FleetRecord, read_fleet, remove_fleet, write_fleet
from infra.supervisor.replica import Replica, ReplicaSpec, end_leftover
from infra.supervisor.restarts import RestartPolicy, describe_exit
from infra.supervisor.scrape_targets import ScrapeTargets

LOOK_SECONDS = 0.5
REFUSED = "was refused its configuration and is not started again"

Tell = Callable[[str], None]


class AlreadySupervised(Exception):
    """Another supervisor works in this state folder."""


@contextlib.contextmanager
def supervisor_lock(state_dir: Path) -> Iterator[None]:
    """Be the supervisor of this folder for the block; raises AlreadySupervised. The lock is free when its holder dies."""
    state_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state_dir / "fleet.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadySupervised from None
        yield
    finally:
        os.close(descriptor)


def is_supervised(state_dir: Path) -> bool:
    """Whether a supervisor works in this folder now."""
    try:
        with supervisor_lock(state_dir):
            return False
    except AlreadySupervised:
        return True


def end_leftovers(state_dir: Path, grace_seconds: float) -> list[str]:
    """End the processes that a killed supervisor left behind; answers their names. Only call it while holding the lock."""
    record = read_fleet(state_dir)
    if record is None:
        return []
    names = [replica.name for replica in record.replicas if end_leftover(replica, grace_seconds)]
    remove_fleet(state_dir)
    return names


class Supervisor:
    """One fleet. Call `run` once, while holding `supervisor_lock`."""

    def __init__(
        self,
        specs: Sequence[ReplicaSpec],
        state_dir: Path,
        *,
        policy: RestartPolicy | None = None,
        grace_seconds: float = 30.0,
        tell: Tell = print,
    ) -> None:
        self.replicas = [Replica(spec, state_dir) for spec in specs]
        self._state_dir = state_dir
        self._policy = policy or RestartPolicy()
        self._grace = grace_seconds
        self._tell = tell
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._record = FleetRecord(os.getpid(), start_token(os.getpid()), started, ())
        self._written: FleetRecord | None = None
        self._targets = ScrapeTargets(state_dir)

    async def run(self, stop: asyncio.Event) -> int:
        """Supervise until `stop` is set, or until every worker was refused its configuration; answers 0, or EXIT_CONFIGURATION."""
        self._write()
        watching = asyncio.create_task(self._watch(), name="watch")
        keeping = [asyncio.create_task(self._keep(replica, stop), name=replica.spec.name) for replica in self.replicas]
        try:
            await asyncio.gather(*keeping)
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            remove_fleet(self._state_dir)
            self._targets.remove()
        return 0 if stop.is_set() else EXIT_CONFIGURATION

    async def _keep(self, replica: Replica, stop: asyncio.Event) -> None:
        failures = 0
        name = replica.spec.name
        try:
            while not stop.is_set():
                await replica.start()
                self._write()
                code = await _first(replica.wait(), stop)
                if code is None:
                    return
                restart = self._policy.after(code, failures, replica.healthy_for())
                if restart is None:
                    replica.ended("failed", replica.last_words())
                    self._tell(f"{name} {REFUSED}: {replica.record.message}")
                    self._write()
                    return
                failures = restart.failures
                replica.ended("waiting", describe_exit(code))
                self._tell(f"{name} ended ({describe_exit(code)}); starting it again in {restart.delay_seconds:g} s")
                self._write()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=restart.delay_seconds)
                replica.count_restart()
        finally:
            if not await asyncio.shield(replica.stop(self._grace)):
                self._tell(f"{name} did not end within {self._grace:g} s and was killed; what it held is delivered again")
            if replica.record.state != "failed":
                replica.ended("stopped", None)
                self._write()

    async def _watch(self) -> None:
        while True:
            await asyncio.gather(*(replica.look() for replica in self.replicas))
            self._write()
            await asyncio.sleep(LOOK_SECONDS)

    def _write(self) -> None:
        record = self._record.with_replicas([replica.record for replica in self.replicas])
        if record != self._written:
            write_fleet(self._state_dir, record)
            self._targets.write(record.replicas)
            self._written = record


async def _first(ending: Coroutine[Any, Any, int], stop: asyncio.Event) -> int | None:
    """The exit code, or None when `stop` was set before."""
    ended = asyncio.create_task(ending)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else None
    finally:
        stopped.cancel()
        ended.cancel()
