"""The port of partial outputs: pieces of an answer on their way from the host where a model speaks to whoever looks on; no promise is
made of them. An answer counts when its task's event says so; a piece may be lost, and pieces of an attempt that failed were said all the
same."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from pydantic import BaseModel, ConfigDict


class Topic(BaseModel):
    """Whose answer it is: an attempt of a task, and what the task is for."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    subject_id: str
    task_id: str
    attempt: int


class Piece(BaseModel):
    """What a model has said since the piece before. `text` is a part of the answer as the model writes it, of JSON where the answer has a
    schema. With `number` 1 the answer begins, anew where there were pieces before: after a failure the model is asked again."""

    model_config = ConfigDict(frozen=True)

    topic: Topic
    operation: str
    number: int
    text: str


class PartialOutputs(Protocol):
    """Takes pieces. Never waits and never raises: whoever works is not held up by those who look on."""

    def tell(self, piece: Piece) -> None:
        """Pass a piece on, or lose it."""
        ...

    async def close(self) -> None:
        """Pass on what is there, for a short time, and end."""
        ...


class Teller:
    """Gathers what a model says in one answer into pieces, at most one in `seconds`, and passes them on."""

    def __init__(
        self, outputs: PartialOutputs, topic: Topic, operation: str, *, seconds: float = 0.1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._outputs = outputs
        self._topic = topic
        self._operation = operation
        self._seconds = seconds
        self._clock = clock
        self._text: list[str] = []
        self._number = 0
        self._told_at = 0.0

    def __call__(self, text: str | None) -> None:
        """Some text, or None where the answer begins, anew where it had begun before."""
        if text is None:
            self._text, self._number, self._told_at = [], 0, 0.0
            return
        self._text.append(text)
        if self._number == 0 or self._clock() - self._told_at >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Pass on what is gathered."""
        if self._text:
            self._number += 1
            self._told_at = self._clock()
            self._outputs.tell(Piece(topic=self._topic, operation=self._operation, number=self._number, text="".join(self._text)))
            self._text = []


class HeardPieces(Protocol):
    """Gives out the pieces about one subject."""

    def listen(self, tenant_id: str, subject_id: str) -> AbstractAsyncContextManager[AsyncIterator[Piece]]:
        """The pieces that are told from now on; ends when the source is away. Raises TransientError where it is away already."""
        ...
