"""What becomes of making topics when the broker is slow."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.topics import topics
from infra.errors import TransientError
from infra.kafka import topics as module
from infra.kafka.topics import create_topics


class SlowAdmin:
    """Takes every order and has no leader for anything."""

    async def list_topics(self) -> list[str]:
        return []

    async def describe_cluster(self) -> dict[str, Any]:
        return {"brokers": [1]}

    async def create_topics(self, *_: Any, **__: Any) -> Any:
        return type("Response", (), {"topic_errors": []})

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"error_code": 5, "partitions": []} for _ in names]

    async def close(self) -> None:
        """Nothing to close."""


async def test_a_broker_that_finds_no_leaders_is_waited_for_and_not_taken_for_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    async def admin(_: str) -> SlowAdmin:
        return SlowAdmin()

    monkeypatch.setattr(module, "_admin", admin)
    monkeypatch.setattr(module, "LEADERS_SECONDS", 0.05)
    with pytest.raises(TransientError, match="topics could not be created"):
        await create_topics("nowhere:9092", topics(1))
