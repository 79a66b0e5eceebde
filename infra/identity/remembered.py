"""Remembers which tokens were verified: a token in, the principal that it was found to speak for; used by the gateway for every call."""

from __future__ import annotations

from datetime import datetime

from infra.identity.base import Principal, TokenExpired, TokenVerifier

MOST_TOKENS = 10_000


class RememberedTokens:
    """A verifier that reads each token once. What was true of a signature stays true while its key is believed, so of a
    token that is known only its end is asked;
    one without an end is read each time. Of more than `most` tokens the oldest are forgotten, and read again when they come."""

    def __init__(self, verifier: TokenVerifier, most: int = MOST_TOKENS) -> None:
        self._verifier = verifier
        self._most = most
        self._known: dict[str, Principal] = {}

    def verify(self, text: str, now: datetime) -> Principal:
        """The principal of an access token that is valid at `now` (UTC). Raises TokenExpired, or InvalidToken for every other defect."""
        known = self._known.get(text)
        if known is None or known.expires_at is None:
            return self._read(text, now)
        if now >= known.expires_at:
            del self._known[text]
            raise TokenExpired
        return known

    def forget(self) -> None:
        """Read every token anew; asked for when keys have changed, so that no token outlives the key that it was signed with."""
        self._known.clear()

    def _read(self, text: str, now: datetime) -> Principal:
        found = self._verifier.verify(text, now)
        if found.expires_at is not None:
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[text] = found
        return found
