"""Where a command's payload comes from: the command line, stdin or a file."""

from __future__ import annotations

import sys
from pathlib import Path

from services.cli.errors import NotFound, WrongUsage


def read_payload(argument: str) -> str:
    """The text itself, what stdin holds for `-`, or what the file of `@FILE` holds."""
    try:
        if argument == "-":
            return sys.stdin.buffer.read().decode()
        if argument.startswith("@"):
            return Path(argument[1:]).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise WrongUsage("The payload is not UTF-8.") from None
    except OSError as error:
        raise NotFound(f"{argument[1:]} cannot be read: {error.strerror}.") from None
    return argument
