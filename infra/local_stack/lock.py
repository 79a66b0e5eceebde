"""A lock file that lets one process at a time do something with a stack's servers or a cache; the others wait, then find it done."""

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
def file_lock(path: Path, doing: str, progress: Progress, timeout: float = 180.0) -> Iterator[None]:
    """Hold the lock for the block. The operating system frees it when its holder dies, so it is never stale.

    `doing` completes "process 123 is ..." for those who wait. Raises LocalStackError after `timeout` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, doing, progress, timeout)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, doing: str, progress: Progress, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace") or "(unknown)"
            if time.monotonic() >= deadline:
                raise LocalStackError(f"Process {holder} has been {doing} for more than {timeout:g} s: end it, then try again.") from None
            if not told:
                progress(f"process {holder} is {doing}: waiting for it")
                told = True
            time.sleep(0.1)
