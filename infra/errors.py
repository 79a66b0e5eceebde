"""The errors that adapters raise and workers act on; drivers' own errors never pass an adapter.

MeshError
├── TransientError        a server is away or overloaded: keep the place, wait, try again
│   ├── CircuitOpen       it failed too often: it is left alone for a while
│   ├── BulkheadFull      too many calls of it run and wait already
│   └── CallTimedOut      it did not answer in time; whether the call took effect is unknown
├── ConfigurationError    nothing but a person mends it: refuse to start, say what to do
└── DataError             the data itself is refused: the record counts as a defect, never as a transient failure
"""

from __future__ import annotations

# sysexits.h EX_CONFIG: what a process ends with that was refused its configuration; a supervisor need not try again.
EXIT_CONFIGURATION = 78


class MeshError(Exception):
    """Base of what infrastructure raises. The message is for the operator and holds no secret."""


class TransientError(MeshError):
    """The call may succeed later without anybody's help. Never a reason to skip, park or reject."""


class CircuitOpen(TransientError):
    """The circuit of a dependency is open, and the call was not made; `retry_after` seconds from now one may be let through."""

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(
            f"the circuit {name} is open after repeated failures: see that {name} works; calls are let through again by themselves"
        )
        self.name = name
        self.retry_after = retry_after


class BulkheadFull(TransientError):
    """As many calls as allowed run and wait already, and the call was not made."""

    def __init__(self, name: str, concurrent: int, waiting: int) -> None:
        super().__init__(f"the bulkhead {name} is full ({concurrent} calls run, {waiting} wait): try again later, or raise its limits")
        self.name = name


class CallTimedOut(TransientError):
    """No answer within the time limit. The call may have taken effect nevertheless."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"{name} did not answer within {seconds:g} s: see that it works and is not overloaded, or raise its time limit")
        self.name = name


class ConfigurationError(MeshError):
    """The process cannot work as it is set up. The message is one line and says what to do."""


class DataError(MeshError):
    """A server refused the data itself (too large, wrong type, a constraint); sending it again would fail again."""
