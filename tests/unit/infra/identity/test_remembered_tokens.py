"""Remembered tokens: read once, ended at their time, never more of them than allowed, and a refusal is never remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra.identity.base import InvalidToken, Principal, TokenExpired
from infra.identity.remembered import RememberedTokens
from infra.identity.tokens import TokenIssuer

ISSUER = TokenIssuer("a-key-for-tests-that-is-long-enough", issuer="agentmesh", audience="agentmesh-api")
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ANN = Principal("ann", "test-tenant", "agent")


class Counting:
    """A verifier that counts how often it reads."""

    def __init__(self) -> None:
        self.reads = 0

    def verify(self, text: str, now: datetime) -> Principal:
        self.reads += 1
        return ISSUER.verify(text, now)


def test_a_token_is_read_once_and_ends_at_its_time() -> None:
    counting = Counting()
    remembered = RememberedTokens(counting)
    token = ISSUER.issue(ANN, NOW)
    for seconds in (0, 1, 1_799):
        assert remembered.verify(token, NOW + timedelta(seconds=seconds)) == ISSUER.verify(token, NOW)
    assert counting.reads == 1
    for seconds in (1_800, 1_801, 5_000):
        with pytest.raises(TokenExpired):
            remembered.verify(token, NOW + timedelta(seconds=seconds))


def test_what_was_refused_is_read_again() -> None:
    counting = Counting()
    remembered = RememberedTokens(counting)
    token = ISSUER.issue(ANN, NOW)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            remembered.verify(token[:-2] + "xx", NOW)
    assert counting.reads == 2
    assert remembered.verify(token, NOW).id == "ann"


def test_no_more_tokens_are_kept_than_allowed() -> None:
    counting = Counting()
    remembered = RememberedTokens(counting, most=2)
    tokens = [ISSUER.issue(Principal(name, "test-tenant", "agent"), NOW) for name in ("ann", "bob", "cleo")]
    for token in (*tokens, tokens[2], tokens[1]):
        remembered.verify(token, NOW)
    assert counting.reads == 3
    assert remembered.verify(tokens[0], NOW).id == "ann"
    assert counting.reads == 4
