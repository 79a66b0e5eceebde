"""Decides whether and when a worker that ended is started anew; pure, asked by the supervisor after each end of a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from infra.errors import EXIT_CONFIGURATION


class Restart(NamedTuple):
    """Start it again after `delay_seconds`; it is its `failures`-th end in a row."""

    delay_seconds: float
    failures: int


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The delay doubles with each end in a row, up to a limit, and starts over after a time of health."""

    first_seconds: float = 0.5
    most_seconds: float = 30.0
    healthy_seconds: float = 60.0

    def after(self, exit_code: int, failures_before: int, healthy_for: float) -> Restart | None:
        """What to do about a process that ended; None: its configuration was refused, so starting it again would change nothing."""
        if exit_code == EXIT_CONFIGURATION:
            return None
        failures = 1 if healthy_for >= self.healthy_seconds else failures_before + 1
        # The exponent is bounded, because a float overflows after a thousand ends.
        return Restart(min(self.most_seconds, self.first_seconds * 2.0 ** min(failures - 1, 32)), failures)


def describe_exit(exit_code: int) -> str:
    """How a process ended, for people."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    import signal

    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
