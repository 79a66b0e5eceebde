"""A read model that nobody waits for asks the broker for more at a time; one that people look at asks for whatever there is."""

from __future__ import annotations

from typing import Any

import pytest

from infra.kafka.subscription import GATHERED_BYTES
from infra.runtime.projection_worker import ProjectionWorker
from infra.settings import load_settings
from infra.telemetry.telemetry import Telemetry
from projections.requests.projection import REQUESTS
from projections.timeline.projection import TIMELINE

SETTINGS = load_settings().with_endpoints(
    postgres_dsn="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1/0", kafka_bootstrap="127.0.0.1:1"
)


@pytest.mark.parametrize(("model", "least"), [(TIMELINE, GATHERED_BYTES), (REQUESTS, 1)])
def test_events_are_gathered_for_models_that_nobody_waits_for(model: Any, least: int) -> None:
    assert ProjectionWorker(model, SETTINGS, Telemetry.for_tests())._subscription._min_bytes == least
