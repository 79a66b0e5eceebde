"""The DBOS application: one workflow with three steps and a queue, its system tables in the round's own database."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from dbos import DBOS, DBOSConfig

from tests.benchmarks.children import end_with_parent, tell
from tests.benchmarks.workflow import steps

APP, VERSION, QUEUE, WORKFLOW = "workflow", "1", "requests", "answer_request"
WORKER_CONCURRENCY = 10
POLL_SECONDS = 0.02


@DBOS.step()
def classify(message: str, category: str) -> dict[str, Any]:
    """Triage."""
    return steps.classify(message, category)


@DBOS.step()
def search(known: dict[str, Any]) -> dict[str, Any]:
    """Research."""
    return steps.search(known)


@DBOS.step()
def answer(known: dict[str, Any]) -> dict[str, Any]:
    """Resolution."""
    return steps.answer(known)


@DBOS.workflow(name=WORKFLOW)
def answer_request(message: str, category: str) -> dict[str, Any]:
    """The three steps of one request; each step's result is recorded."""
    return answer(search(classify(message, category)))


def launch(executor: str, queues: list[str]) -> None:
    """Connect this process, which takes from these queues; the first one makes the system tables."""
    DBOS(
        config=DBOSConfig(
            name=APP,
            system_database_url=os.environ["DATABASE_URL"],
            application_version=VERSION,
            executor_id=executor,
            run_admin_server=False,
            log_level="WARNING",
        )
    )
    DBOS.listen_queues(queues)
    DBOS.launch()


def main() -> None:
    """A worker process: takes workflows from the queue until it is told to end."""
    end_with_parent()
    launch(sys.argv[1], [QUEUE])
    DBOS.register_queue(QUEUE, worker_concurrency=WORKER_CONCURRENCY, polling_interval_sec=POLL_SECONDS)
    tell("ready")
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    over.wait()
    os._exit(0)


if __name__ == "__main__":
    main()
