"""Lists every dashboard by the name of its file; read by `make dashboards` and by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra.grafana.board import Board
from infra.grafana.boards import agents, event_flow, fleet, gateway, infrastructure, models, requests

FOLDER = Path(__file__).parent / "dashboards"
BOARDS: Mapping[str, Board] = {
    "fleet": fleet.BOARD,
    "requests": requests.BOARD,
    "agents": agents.BOARD,
    "event-flow": event_flow.BOARD,
    "models": models.BOARD,
    "gateway": gateway.BOARD,
    "infrastructure": infrastructure.BOARD,
}
