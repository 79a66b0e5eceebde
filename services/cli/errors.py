"""The errors that end a command with a message and an exit code of its own; raised by commands, shown by `main`.

CommandError
├── Refused       1   the mesh answered: no
├── WrongUsage    2   the arguments contradict each other or themselves
├── NotFound      3   there is no such thing
└── NoAnswer      4   nothing came in time
"""

from __future__ import annotations

from typing import ClassVar

from services.cli import exit_codes


class CommandError(Exception):
    """Base of what a person sees as one line. The message says what to do next."""

    exit_code: ClassVar[int] = exit_codes.FAILED


class Refused(CommandError):
    """The mesh did not do it."""


class WrongUsage(CommandError):
    """The arguments cannot be understood."""

    exit_code = exit_codes.USAGE


class NotFound(CommandError):
    """There is no such thing."""

    exit_code = exit_codes.NOT_FOUND


class NoAnswer(CommandError):
    """Nothing came within the time given."""

    exit_code = exit_codes.AWAY
