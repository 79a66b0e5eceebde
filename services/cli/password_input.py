"""Where a command's password comes from: a prompt that shows nothing, stdin, or chance; never an argument, which others could see."""

from __future__ import annotations

import getpass
import sys

from infra.identity.passwords import new_password
from services.cli.errors import WrongUsage

# Far more than the longest password, so that one that is too long is told its rule.
MAX_STDIN_BYTES = 100_000


def read_password(*, stdin: bool, generate: bool) -> str:
    """The password. Raises WrongUsage when it cannot be had this way; its rules are checked where it is set."""
    if stdin and generate:
        raise WrongUsage("Give --password-stdin or --generate, not both.")
    if generate:
        return new_password()
    return _of_stdin() if stdin else _of_prompt()


def _of_stdin() -> str:
    if sys.stdin.isatty():
        raise WrongUsage("--password-stdin: stdin is a terminal, which would show the password. Leave the option out to be asked.")
    raw = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(raw) > MAX_STDIN_BYTES:
        raise WrongUsage(f"--password-stdin: more than {MAX_STDIN_BYTES} bytes came.")
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise WrongUsage("--password-stdin: what came is not UTF-8.") from None


def _of_prompt() -> str:
    if not sys.stdin.isatty():
        raise WrongUsage("There is no terminal to ask for the password: give --password-stdin, or --generate.")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except EOFError:
        raise WrongUsage("No password was typed.") from None
    if password != again:
        raise WrongUsage("The two passwords differ: nothing was changed.")
    return password
