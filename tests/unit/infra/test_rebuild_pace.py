"""How a rebuild by order spares what it shares: it rests for its share of the time, never long, and at full speed not at all."""

import pytest

from infra.read_models.rebuild import FULL_SPEED, MOST_REST_SECONDS, Pace
from infra.rebuild_orders.settings import RebuildSettings


@pytest.mark.parametrize(
    ("share", "worked", "rest"), [(0.5, 0.2, 0.2), (0.25, 0.1, 0.3), (1.0, 5.0, 0.0), (0.01, 5.0, MOST_REST_SECONDS), (0.5, 0.0, 0.0)]
)
def test_it_rests_for_the_others_share_of_the_time(share: float, worked: float, rest: float) -> None:
    assert Pace(500, share).rest(worked) == pytest.approx(rest)
    assert FULL_SPEED.rest(worked) == 0


@pytest.mark.parametrize(("name", "value"), [("PAGE", "0"), ("PAGE", "1000000"), ("SHARE", "0"), ("SHARE", "1.5"), ("POLL_SECONDS", "0")])
def test_a_pace_that_cannot_be_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AGENTMESH_REBUILD_{name}", value)
    with pytest.raises(ValueError, match=name.lower()):
        RebuildSettings()
