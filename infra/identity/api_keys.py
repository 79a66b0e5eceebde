"""API keys: made, taken apart and digested; the text goes to its owner once, only prefix and SHA-256 are kept; used by sign-in and CLI.

`am_<8 characters prefix>_<43 characters random>`. The random part has 256 bits, so a fast digest is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from typing import NamedTuple

from infra.identity.accounts import PREFIX_CHARACTERS

RANDOM_BYTES = 32
RANDOM_CHARACTERS = 43
_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(rf"am_([A-Za-z0-9]{{{PREFIX_CHARACTERS}}})_[A-Za-z0-9_-]{{{RANDOM_CHARACTERS}}}")
_NAMED = re.compile(rf"(?:am_)?([A-Za-z0-9]{{{PREFIX_CHARACTERS}}})(?:_[A-Za-z0-9_-]{{{RANDOM_CHARACTERS}}})?")


class KeyText(NamedTuple):
    """A key as its owner has it, and what is kept of it."""

    text: str
    prefix: str
    digest: bytes

    def __repr__(self) -> str:
        return f"KeyText(prefix={self.prefix!r})"


def new_api_key() -> KeyText:
    """A new random key."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_CHARACTERS))
    return _digested(f"am_{prefix}_{secrets.token_urlsafe(RANDOM_BYTES)}", prefix)


def parse_api_key(text: str) -> KeyText | None:
    """The key in a text, or None for what has not the form of one."""
    found = _FORM.fullmatch(text)
    return None if found is None else _digested(text, found.group(1))


def prefix_named(text: str) -> str | None:
    """The prefix that a person means: with or without `am_`, or a whole key pasted; None for what is none of these."""
    found = _NAMED.fullmatch(text)
    return None if found is None else found.group(1)


def _digested(text: str, prefix: str) -> KeyText:
    return KeyText(text, prefix, hashlib.sha256(text.encode()).digest())
