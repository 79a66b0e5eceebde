"""An agent whose first attempts wait for a file, in whatever process; later attempts answer at once with the process that ran them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from infra.agents.base import Agent, Task, TaskContext

POLL_SECONDS = 0.02


def _wait_for(gate: Path) -> None:
    while not gate.exists():
        time.sleep(POLL_SECONDS)


class Gated(Agent):
    """`input["gate"]` names the file; without one nothing is waited for."""

    kind = "gated"
    capabilities: ClassVar[Mapping[str, int]] = {"waiting": 3}
    concurrency = 10

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Wait for the gate, then tell who was here."""
        gate = task.input.get("gate")
        if gate and task.attempt == 1:
            await asyncio.to_thread(_wait_for, Path(gate))
        return {"pid": os.getpid(), "attempt": task.attempt}
