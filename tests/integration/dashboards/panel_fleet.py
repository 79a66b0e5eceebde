"""Runs workers as a process, as `agentmesh run` does, but that some requests meet a defect: `python -m …panel_fleet run WORKER …`.

The defect is mended when the file named by TEST_MARKER is there; for one message it stays.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import services.requests.worker as product
from contracts.requests.commands import CreateRequest
from infra.runtime.base import DecisionContext
from services.requests.domain import Request
from services.requests.handlers import DECISIONS, create_request
from tests.chaos.launch import end_with_parent, run_plan

MARKER = "TEST_MARKER"
POISON, LASTING = "This one meets a defect", "This one meets a defect that stays"


def planted(request: Request | None, command: CreateRequest, context: DecisionContext) -> Any:
    """Some messages meet a defect of ours."""
    if command.message == LASTING or (command.message == POISON and not Path(os.environ[MARKER]).exists()):
        raise KeyError("category")
    return create_request(request, command, context)


if __name__ == "__main__":
    end_with_parent()
    product.DECISIONS = {**DECISIONS, CreateRequest: planted}  # type: ignore[attr-defined]
    sys.exit(run_plan(sys.argv[2:]))
