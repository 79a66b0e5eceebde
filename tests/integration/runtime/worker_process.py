"""A requests worker as a process of its own, with a planted fault; started by the tests that kill or pause it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from contracts.message import Command
from contracts.requests.commands import CreateRequest
from contracts.requests.events import RequestEvent
from infra.runtime import offsets
from infra.runtime.base import AggregateType, Decide, DecisionContext
from infra.runtime.command_worker import CommandWorker
from infra.runtime.process import main
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.requests.domain import Request, evolve
from services.requests.handlers import DECISIONS, create_request

PLANT = "TEST_PLANT"
MARKER = "TEST_MARKER"
KILLING, PAUSING = "this one kills its worker", "this one pauses its worker"


def killing(request: Request | None, command: CreateRequest, context: DecisionContext) -> tuple[RequestEvent, ...]:
    """Some messages take the whole process with them."""
    if command.message == KILLING:
        with Path(os.environ[MARKER]).open("a") as marker:
            marker.write("died\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return create_request(request, command, context)


def pausing(request: Request | None, command: CreateRequest, context: DecisionContext) -> tuple[RequestEvent, ...]:
    """Some messages stop the process in the middle of its batch, once."""
    marker = Path(os.environ[MARKER])
    if command.message == PAUSING and not marker.exists():
        marker.write_text("paused")
        os.kill(os.getpid(), signal.SIGSTOP)
    return create_request(request, command, context)


PLANTS: Mapping[str, Mapping[type[Command], Decide]] = {
    "": {},
    "killing": {CreateRequest: killing},
    "pausing": {CreateRequest: pausing},
}


def build(settings: MeshSettings, telemetry: Telemetry) -> CommandWorker:
    """The worker, with the plant that the environment names."""
    return CommandWorker(
        AggregateType("Request", evolve, {**DECISIONS, **PLANTS[os.environ.get(PLANT, "")]}), "requests", settings, telemetry
    )


if __name__ == "__main__":
    # Commits lag by less than a test can aim at: a process that is to be killed between transaction and commit never comes to commit.
    offsets.COMMIT_INTERVAL_SECONDS = 3600.0 if "never commits" in sys.argv else offsets.COMMIT_INTERVAL_SECONDS
    sys.exit(main({"requests": build}))
