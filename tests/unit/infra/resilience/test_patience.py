"""A dependency that is away is waited for, for so long and no longer."""

from __future__ import annotations

import pytest

from infra.errors import CircuitOpen, DataError, TransientError
from infra.resilience.patience import Patience
from tests.virtual_time import Clock


class Port:
    """Fails with each of the errors in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def read(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def patience(clock: Clock, seconds: float) -> Patience:
    return Patience("model", seconds, clock=clock, sleep=clock.sleep)


async def test_an_outage_that_ends_in_time_is_waited_for_with_growing_delays() -> None:
    clock, port = Clock(), Port(*[TransientError("away")] * 4)
    assert await patience(clock, 60).call(port.read) == "answer"
    assert clock.slept == [0.1, 0.2, 0.4, 0.8]


async def test_an_open_circuit_is_waited_for_as_long_as_it_says() -> None:
    clock, port = Clock(), Port(CircuitOpen("model", 42.0))
    assert await patience(clock, 60).call(port.read) == "answer"
    assert clock.slept == [42.0]


async def test_patience_ends() -> None:
    clock, port = Clock(), Port(*[TransientError("away")] * 100)
    with pytest.raises(TransientError):
        await patience(clock, 60).call(port.read)
    assert 50 < clock.now <= 60


@pytest.mark.parametrize(("seconds", "error"), [(0.0, TransientError("away")), (60.0, CircuitOpen("model", 61.0)), (60.0, DataError("no"))])
async def test_what_cannot_be_waited_for_is_raised_at_once(seconds: float, error: Exception) -> None:
    clock, port = Clock(), Port(error)
    with pytest.raises(type(error)):
        await patience(clock, seconds).call(port.read)
    assert (port.calls, clock.slept) == (1, [])
