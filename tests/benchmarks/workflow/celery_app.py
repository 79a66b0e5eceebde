"""The Celery application: three tasks on Redis, results kept; `python -m celery -A` this module `worker` runs them."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from celery import Celery, chain

from tests.benchmarks.workflow import steps

SECONDS_KEPT = 600


def _redis(database: int) -> str:
    return urlsplit(os.environ.get("REDIS_URL", "redis://127.0.0.1/0"))._replace(path=f"/{database}").geturl()


app = Celery("workflow", broker=_redis(1), backend=_redis(2))
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    result_expires=SECONDS_KEPT,
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)


@app.task
def classify(message: str, category: str) -> dict[str, Any]:
    """Triage."""
    return steps.classify(message, category)


@app.task
def search(known: dict[str, Any]) -> dict[str, Any]:
    """Research."""
    return steps.search(known)


@app.task
def answer(known: dict[str, Any]) -> dict[str, Any]:
    """Resolution."""
    return steps.answer(known)


def three_steps(message: str, category: str) -> Any:
    """The chain of one request; `apply_async` sends it."""
    return chain(classify.s(message, category), search.s(), answer.s())
