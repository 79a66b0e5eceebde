"""A lock file that lets one process at a time start or stop the servers of a stack; the others wait and then find them done."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local_stack.errors import LocalStackError
from infra.local_stack.progress import Progress


@contextmanager
def stack_lock(state_dir: Path, progress: Progress, timeout: float = 180.0) -> Iterator[None]:
    """Hold the stack's lock for the block. The operating system frees it when its holder dies, so it is never stale."""
    state_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state_dir / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, progress, timeout)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, progress: Progress, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace") or "unknown"
            if time.monotonic() >= deadline:
                raise LocalStackError(
                    f"Process {holder} has been starting or stopping these servers for {timeout:g} s."
                ) from None
            if not told:
                progress(f"process {holder} is starting or stopping these servers: waiting for it")
                told = True
            time.sleep(0.1)
