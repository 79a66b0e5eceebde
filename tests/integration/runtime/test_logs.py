"""What became of commands is told in the log with their ids; of a poison record's text nothing is shown, though its errors are."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from contracts.message import Command
from contracts.requests.commands import CreateRequest
from contracts.requests.events import RequestCreated
from infra.event_store.base import OutcomeKind
from infra.runtime.base import Decide
from infra.settings import MeshSettings
from infra.telemetry.logs import configure_logging
from tests.e2e.planted import CONTACT, MESSAGE, PLANTED, WORDS
from tests.mesh import TENANT, Mesh, create, new_id

pytestmark = pytest.mark.integration


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of this process as a worker writes it, everything in it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    out = io.StringIO()
    configure_logging("requests", "DEBUG", out, levels={"aiokafka": "WARNING", "psycopg": "WARNING"})
    yield out
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    for name in ("aiokafka", "psycopg"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def poison(request: Any, command: CreateRequest, context: Any) -> list[RequestCreated]:
    """A handler with a defect that tells all it knows."""
    try:
        raise LookupError(f"{command!r} / {command.model_dump_json()} / {json.dumps({'contact_info': CONTACT})}")
    except LookupError as error:
        raise ValueError(f"cannot handle payload={command.model_dump()!r}") from error


async def test_outcomes_are_told_and_nothing_of_a_poison_record_is_shown(mesh_settings: MeshSettings, log: io.StringIO) -> None:
    decisions: dict[type[Command], Decide] = {CreateRequest: poison}
    poisoned, refused = new_id(), new_id()
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.planted(decisions))
        payload = create(poisoned, message=MESSAGE, metadata={"contact": CONTACT, "note": WORDS})
        first = await mesh.publish("CreateRequest", poisoned, payload)
        assert (await mesh.outcome(poisoned, first)).kind is OutcomeKind.PARKED
        second = await mesh.publish("CreateRequest", refused, create(refused, priority=WORDS, customer_id=MESSAGE))
        assert (await mesh.outcome(refused, second)).kind is OutcomeKind.REJECTED
        await mesh.publish("CreateRequest", new_id(), MESSAGE.encode())
        await mesh.letters(count=2)
    text = log.getvalue()
    assert [planted for planted in PLANTED if planted in text] == []
    lines = [json.loads(line) for line in text.splitlines()]
    told = {line["message"]: line for line in lines if line["name"] == "infra.runtime.told"}
    parked, rejected = told["CreateRequest: parked"], told["CreateRequest: rejected with VALIDATION_ERROR"]
    assert (parked["level"], parked["extra"], parked["tenant_id"]) == (
        "warning", {"aggregate_id": poisoned, "command_id": first}, TENANT,
    )  # fmt: skip
    assert (rejected["level"], rejected["extra"]["command_id"]) == ("info", second)
    assert any(message.startswith("a record holds no command and was parked") for message in told)
    failed = [line["exception"] for line in lines if "failed by a defect" in line["message"]]
    assert failed
    assert all(error["type"] == "ValueError" and "raise LookupError(" in error["traceback"] for error in failed)
    assert all("message=[personal]" in error["traceback"] for error in failed)
