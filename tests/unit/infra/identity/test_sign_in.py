"""Signing in does the same work for every refusal, tells it alike, and passes on that accounts cannot be reached."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from infra.errors import TransientError
from infra.identity.accounts import reference
from infra.identity.accounts_memory import InMemoryAccounts
from infra.identity.base import Unauthenticated
from infra.identity.passwords import SecretHasher
from infra.identity.sign_in import Means, Reason, SignIn, SignInFailed
from infra.telemetry.metrics import Metrics
from tests.conformance.accounts import PASSWORD, World


class Counting(Argon2Hasher):
    """Counts what was hashed and verified."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.work: list[str] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.work.append("hash")
        return super().hash(password, salt=salt)

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:
        self.work.append("verify")
        return super().verify(password, hash)


async def test_every_refusal_and_every_success_costs_one_verification() -> None:
    world = World(InMemoryAccounts())
    await world.user()
    await world.user(reference("acme", "off"))
    await world.accounts.users.set_disabled(reference("acme", "off"), True, "ops")
    counting = Counting()
    sign_in = SignIn(world.accounts, SecretHasher(PasswordHash((counting,))), world.metrics)
    await sign_in.user("ann", PASSWORD, "acme")
    counting.work.clear()
    attempts = {
        ("ann", "wrong password", "acme"): Reason.WRONG_SECRET,
        ("bob", PASSWORD, "acme"): Reason.UNKNOWN,
        ("ann", PASSWORD, "globex"): Reason.UNKNOWN,
        ("a b", PASSWORD, "acme"): Reason.MALFORMED,
        ("off", PASSWORD, "acme"): Reason.DISABLED,
        ("ann", "x" * 10_000, "acme"): Reason.WRONG_SECRET,
    }
    for attempt, reason in attempts.items():
        with pytest.raises(SignInFailed) as caught:
            await sign_in.user(*attempt)
        assert (caught.value.reason, counting.work) == (reason, ["verify"])
        counting.work.clear()
    for client_id in ("client-none", "client-\x00"):
        with pytest.raises(SignInFailed):
            await sign_in.client(client_id, PASSWORD)
        assert counting.work == ["verify"]
        counting.work.clear()


def test_a_refusal_is_an_unauthenticated_call_whose_message_holds_no_reason() -> None:
    for reason in Reason:
        refusal = SignInFailed(reason)
        assert isinstance(refusal, Unauthenticated)
        assert str(refusal) == "Sign-in failed"


async def test_accounts_that_cannot_be_reached_are_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*arguments: object) -> None:
        raise TransientError("the database is away")

    world = World(InMemoryAccounts())
    await world.user()
    text = await world.key()
    monkeypatch.setattr(world.accounts.users, "credential", away)
    monkeypatch.setattr(world.accounts.clients, "credential_by_id", away)
    monkeypatch.setattr(world.accounts.keys, "credential", away)
    for attempt in (
        world.sign_in.user("ann", PASSWORD, "acme"),
        world.sign_in.client("client-1", "secret"),
        world.sign_in.api_key(text),
    ):
        with pytest.raises(TransientError):
            await attempt
    assert [world.failures(means) for means in Means] == [0, 0, 0]


async def test_failures_are_counted_by_what_was_presented() -> None:
    registry = CollectorRegistry()
    sign_in = SignIn(InMemoryAccounts(), SecretHasher(PasswordHash((Counting(),))), Metrics(registry))
    for attempt in (sign_in.user("ann", "x", "acme"), sign_in.user("ann", "y", "acme"), sign_in.client("c", "x"), sign_in.api_key("am_")):
        with pytest.raises(SignInFailed):
            await attempt
    counted = {means: registry.get_sample_value("agentmesh_sign_in_failures_total", {"kind": str(means)}) for means in Means}
    assert counted == {Means.PASSWORD: 2, Means.CLIENT_SECRET: 1, Means.API_KEY: 1}
