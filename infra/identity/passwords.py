"""Passwords and secrets: a text in, an argon2 hash out, or a yes or no in equal time; used by sign-in and administration."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import unicodedata
from typing import Final, NamedTuple

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError

from infra.identity.accounts import SecretInvalid
from infra.resilience.bulkhead import Bulkhead, BulkheadPolicy

MIN_PASSWORD_CHARACTERS = 12
MAX_PASSWORD_CHARACTERS = 200
# 24 characters, 144 random bits.
GENERATED_PASSWORD_BYTES = 18
CLIENT_SECRET_BYTES = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# A hash takes 64 MiB and 50 ms of several processors: more at once would take memory, and make none of them faster.
HASHING: Final = BulkheadPolicy(concurrent=2, waiting=200)


class Verified(NamedTuple):
    """Whether the secret is right, and the hash to keep instead where the kept one is weaker than today's."""

    right: bool
    new_hash: str | None = None


WRONG = Verified(False)


class SecretHasher:
    """Hashes with argon2id in a thread, a few at once. Raises BulkheadFull, a TransientError, when too many wait."""

    def __init__(self, hasher: PasswordHash | None = None, policy: BulkheadPolicy = HASHING) -> None:
        self._hasher = hasher or PasswordHash.recommended()
        self._bulkhead = Bulkhead("argon2", policy)
        self._decoy_hash = ""
        self._decoy_lock = threading.Lock()

    async def hash(self, secret: str) -> str:
        """The hash to keep of a secret, with a salt of its own."""
        return await self._bulkhead.call(asyncio.to_thread, self._hasher.hash, _bytes(secret))

    async def verify(self, secret: str, kept_hash: str | None) -> Verified:
        """Whether the secret belongs to the hash. None, for an account that there is not, takes the time of a wrong secret."""
        return await self._bulkhead.call(asyncio.to_thread, self._verify, secret, kept_hash)

    def _verify(self, secret: str, kept_hash: str | None) -> Verified:
        decoy = self._decoy()
        if kept_hash is None or len(normal(secret)) > MAX_PASSWORD_CHARACTERS:
            self._hasher.verify(b"", decoy)
            return WRONG
        try:
            return Verified(*self._hasher.verify_and_update(_bytes(secret), kept_hash))
        except UnknownHashError:
            self._hasher.verify(b"", decoy)
            return WRONG

    def _decoy(self) -> str:
        """The hash of nobody's secret, made at the first verification, whoever that is for."""
        with self._decoy_lock:
            if not self._decoy_hash:
                self._decoy_hash = self._hasher.hash(secrets.token_bytes(32))
            return self._decoy_hash


def check_password(password: str, login: str) -> str:
    """The password. Raises SecretInvalid, which says the rule and how long the password is, never what it is."""
    length = len(normal(password))
    if not MIN_PASSWORD_CHARACTERS <= length <= MAX_PASSWORD_CHARACTERS:
        limits = f"{MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters"
        raise SecretInvalid(f"password: Input should have {limits} (text of {length} characters)")
    if _CONTROL.search(password):
        raise SecretInvalid(f"password: Input should have no control characters (text of {length} characters)")
    if normal(password).casefold() == login.casefold():
        raise SecretInvalid(f"password: Input should not be the login (text of {length} characters)")
    return password


def new_password() -> str:
    """A random password that keeps the rules."""
    return secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)


def new_client_secret() -> str:
    """A random secret of 43 characters, 256 bits."""
    return secrets.token_urlsafe(CLIENT_SECRET_BYTES)


def normal(secret: str) -> str:
    """The text in one form (NFC): an é typed on another keyboard is the same é."""
    return unicodedata.normalize("NFC", secret)


def _bytes(secret: str) -> bytes:
    return normal(secret).encode("utf-8", "surrogatepass")
