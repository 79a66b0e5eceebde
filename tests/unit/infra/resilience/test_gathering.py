"""Records gather only where processors are scarce and many records come; a little more each time, and less when there is room again."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher

from infra.kafka.subscription import GATHERED_BYTES, LONG_POLL_MS, AttemptConsumer
from infra.resilience import gathering
from infra.resilience.gathering import FIRST_MS, LONGEST_MS, LOOK_SECONDS, RATE_SECONDS, WORTH, Gathering, ProcessorPressure, thread_times


class Machine:
    """A clock, and what the system says of a thread that is told to want a processor."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ran, self.waited = 0, 0

    def clock(self) -> float:
        return self.now

    def times(self) -> tuple[int, int] | None:
        return self.ran, self.waited

    def go_on(self, share_waited: float, seconds: float = LOOK_SECONDS) -> None:
        self.now += seconds
        wanted = int(seconds * 1e9)
        self.waited += int(wanted * share_waited)
        self.ran += int(wanted * (1 - share_waited))


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def pressure(machine: Machine) -> ProcessorPressure:
    made = ProcessorPressure(machine.times, machine.clock)
    assert made.gather_ms() == 0, "nothing to compare with yet"
    return made


def under_pressure(machine: Machine, pressure: ProcessorPressure, looks: int = 10) -> None:
    for _ in range(looks):
        machine.go_on(0.9)
        pressure.gather_ms()


def test_while_processors_are_free_nothing_is_gathered(machine: Machine, pressure: ProcessorPressure) -> None:
    for _ in range(20):
        machine.go_on(0.1)
        assert pressure.gather_ms() == 0


def test_a_thread_that_wants_no_processor_waits_for_none(machine: Machine, pressure: ProcessorPressure) -> None:
    machine.now += 10
    assert pressure.gather_ms() == 0


def test_under_pressure_more_is_gathered_up_to_a_limit_and_then_less_again(machine: Machine, pressure: ProcessorPressure) -> None:
    seen = []
    for _ in range(6):
        machine.go_on(0.9)
        seen.append(pressure.gather_ms())
    assert seen[0] == FIRST_MS
    assert seen[:3] == sorted(seen[:3])
    assert seen[-1] == LONGEST_MS
    machine.go_on(0.45)
    assert pressure.gather_ms() == LONGEST_MS, "between the limits it stays"
    seen = []
    for _ in range(6):
        machine.go_on(0.1)
        seen.append(pressure.gather_ms())
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 0


def test_it_is_not_looked_at_more_often_than_said(machine: Machine, pressure: ProcessorPressure) -> None:
    machine.go_on(0.9, LOOK_SECONDS / 2)
    assert pressure.gather_ms() == 0
    machine.go_on(0.9, LOOK_SECONDS)
    assert pressure.gather_ms() == FIRST_MS


def test_a_system_that_does_not_say_gathers_nothing(machine: Machine) -> None:
    pressure = ProcessorPressure(lambda: None, machine.clock)
    machine.now += 10
    assert pressure.gather_ms() == 0


def test_what_the_system_says_is_read_and_a_file_of_another_shape_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "SCHEDSTAT", tmp_path / "schedstat")
    assert thread_times() is None
    (tmp_path / "schedstat").write_text("12 34 5\n")
    assert thread_times() == (12, 34)
    (tmp_path / "schedstat").write_text("nonsense\n")
    assert thread_times() is None


def test_a_loop_gathers_only_where_enough_records_would_come_together(machine: Machine, pressure: ProcessorPressure) -> None:
    under_pressure(machine, pressure)
    slow, fast = Gathering(pressure, machine.clock), Gathering(pressure, machine.clock)
    enough = WORTH / LONGEST_MS * 1000  # records a second
    for _ in range(40):
        machine.go_on(0.45, RATE_SECONDS / 10)
        slow_ms, fast_ms = slow.after(int(enough * RATE_SECONDS / 10 / 2)), fast.after(int(enough * RATE_SECONDS / 10 * 2))
    assert slow_ms == 0
    assert fast_ms == LONGEST_MS
    machine.go_on(0.45, RATE_SECONDS * 10)
    assert fast.after(1) == 0, "the rate fades"


def test_a_consumer_asks_the_broker_to_gather_and_stops_asking(machine: Machine, pressure: ProcessorPressure) -> None:
    fetcher = SimpleNamespace(_fetch_min_bytes=1, _fetch_max_wait_ms=LONG_POLL_MS)
    consumer: Any = SimpleNamespace(_gathering=Gathering(pressure, machine.clock), _fetcher=None, _min_bytes=1)
    AttemptConsumer._gather(consumer, 1)  # not started yet
    consumer._fetcher = fetcher
    under_pressure(machine, pressure)
    AttemptConsumer._gather(consumer, 1_000)
    assert (fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms) == (GATHERED_BYTES, int(LONGEST_MS))
    machine.go_on(0.1, 5)
    AttemptConsumer._gather(consumer, 1)
    assert (fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms) == (1, LONG_POLL_MS)


def test_the_fetcher_has_what_the_consumer_sets() -> None:
    """Both names are aiokafka's own, so an upgrade that renames them must not go unseen."""
    source = inspect.getsource(Fetcher)
    assert "self._fetch_min_bytes" in source
    assert "self._fetch_max_wait_ms" in source
