"""The errors that adapters raise and workers act on; drivers' own errors never pass an adapter.

MeshError
├── TransientError        a server is away or overloaded: keep the place, wait, try again
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


class ConfigurationError(MeshError):
    """The process cannot work as it is set up. The message is one line and says what to do."""


class DataError(MeshError):
    """A server refused the data itself (too large, wrong type, a constraint); sending it again would fail again."""
