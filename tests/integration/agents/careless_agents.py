"""Agents that do what they must not do, as their task asks: `input["does"]` names it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from infra.agents.base import Agent, Task, TaskContext
from services.support_agents.agents import TriageAgent

EXIT_CODE = 77


class Careless(Agent):
    """Raises, hangs, answers what is no result, or answers late."""

    kind: ClassVar[str] = "careless"
    capabilities: ClassVar[Mapping[str, int]] = {"care": 1}
    concurrency = 20

    async def handle(self, task: Task, context: TaskContext) -> Any:
        """What the task asks for."""
        match task.input.get("does"):
            case "raise":
                raise RuntimeError("no idea")
            case "hang":
                await asyncio.Event().wait()
            case "answer late":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    return {"late": True}
            case "answer a list":
                return ["done"]
            case "answer what JSON cannot say":
                return {"at": object()}
        return {"attempt": task.attempt}


class Mortal(Careless):
    """Takes its whole process with it, once: `input["mark"]` names the file that remembers it, because the same attempt may come again."""

    kind: ClassVar[str] = "mortal"

    async def handle(self, task: Task, context: TaskContext) -> Any:
        """Dies, or tells the attempt that lived."""
        die_once(Path(task.input["mark"]))
        return {"attempt": task.attempt}


def die_once(mark: Path) -> None:
    """End this process where it stands, unless the mark says that it was ended before."""
    if not mark.exists():
        mark.touch()
        os._exit(EXIT_CODE)


class HastyTriage(TriageAgent):
    """Asks the model as the real one does, and makes up the rest when the message says so."""

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Half an answer, a refund below its least priority, or what the real one says."""
        message = str(task.input["message"])
        if "half an answer" in message:
            return {"category": "weather"}
        if "cheap refund" in message:
            return {"category": "refund", "priority": 1, "confidence": 0.9}
        return await super().handle(task, context)
