"""When a worker that ended is started again: the delay doubles, is bounded, starts over after health; a refused configuration ends it."""

import signal

import pytest

from infra.errors import EXIT_CONFIGURATION
from infra.supervisor.restarts import Restart, RestartPolicy, describe_exit

POLICY = RestartPolicy()


def test_the_delay_doubles_from_half_a_second_to_thirty() -> None:
    delays = []
    failures = 0
    for _ in range(9):
        restart = POLICY.after(1, failures, healthy_for=0)
        assert restart is not None
        delays.append(restart.delay_seconds)
        failures = restart.failures
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_minute_of_health_starts_the_delay_over() -> None:
    assert POLICY.after(-9, 6, healthy_for=60) == Restart(0.5, 1)
    assert POLICY.after(-9, 6, healthy_for=59.9) == Restart(30, 7)


def test_a_process_that_ended_well_is_started_again_too() -> None:
    assert POLICY.after(0, 0, healthy_for=0) == Restart(0.5, 1)


@pytest.mark.parametrize("healthy_for", [0, 3600])
def test_a_refused_configuration_is_not_tried_again(healthy_for: float) -> None:
    assert POLICY.after(EXIT_CONFIGURATION, 0, healthy_for) is None


def test_a_worker_that_dies_for_a_year_still_has_a_delay() -> None:
    assert POLICY.after(1, 1_000_000, healthy_for=0) == Restart(30, 1_000_001)


def test_an_exit_is_described_for_people() -> None:
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-signal.SIGKILL) == "killed by SIGKILL"
    assert describe_exit(-250) == "killed by signal 250"
