"""Rules of passwords, argon2 hashes, equal work for right, wrong and nobody's, and few hashes at once."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from infra.errors import BulkheadFull
from infra.identity.accounts import SecretInvalid
from infra.identity.passwords import (
    MAX_PASSWORD_CHARACTERS,
    SecretHasher,
    Verified,
    check_password,
    new_client_secret,
    new_password,
)
from infra.resilience.bulkhead import BulkheadPolicy

PASSWORD = "correct horse battery"
COMPOSED, DECOMPOSED = "caf\u00e9 caf\u00e9 caf\u00e9", "cafe\u0301 cafe\u0301 cafe\u0301"


def weak(cost: int = 8) -> PasswordHash:
    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=cost, parallelism=1),))


class Counting(Argon2Hasher):
    """Counts what was verified, and how many at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str] = []
        self.threads: set[str] = set()
        self.active = self.most = 0
        self.lock = threading.Lock()

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:
        with self.lock:
            self.active += 1
            self.most = max(self.most, self.active)
            self.verified.append(str(hash))
            self.threads.add(threading.current_thread().name)
        time.sleep(0.01)
        with self.lock:
            self.active -= 1
        return super().verify(password, hash)


@pytest.mark.parametrize("password", ["x" * 12, "x" * MAX_PASSWORD_CHARACTERS, PASSWORD, "пароль пароль", "annannannann!", " " * 12])
def test_passwords_that_keep_the_rules(password: str) -> None:
    assert check_password(password, "annannannann") == password


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("", "12 to 200 characters"),
        ("x" * 11, "12 to 200 characters"),
        ("x" * 201, "12 to 200 characters"),
        ("x" * 10_000, "12 to 200 characters"),
        ("secret\x00secret", "no control characters"),
        ("secret\nsecret", "no control characters"),
        ("secret\x1b[31m secret", "no control characters"),
        ("secret \ud800 secret", "no control characters"),
        ("ann@example.org", "not be the login"),
        ("ANN@example.ORG", "not be the login"),
    ],
)
def test_other_passwords_are_refused_and_not_repeated(password: str, rule: str) -> None:
    with pytest.raises(SecretInvalid, match=rule) as caught:
        check_password(password, "ann@example.org")
    text = str(caught.value)
    assert text.startswith("password: ")
    assert f"(text of {len(password)} characters)" in text
    assert not password or password not in text


def test_an_accent_counts_as_one_character_however_it_is_typed() -> None:
    with pytest.raises(SecretInvalid, match="text of 11 characters"):
        check_password("e\u0301" * 11, "ann")


def test_generated_secrets_keep_the_rules_and_differ() -> None:
    assert check_password(new_password(), "admin")
    assert len(new_client_secret()) == 43
    assert len({new_password() for _ in range(50)} | {new_client_secret() for _ in range(50)}) == 100


async def test_a_hash_is_argon2id_salted_and_of_the_secret_alone() -> None:
    hasher = SecretHasher()
    first, second = await hasher.hash(PASSWORD), await hasher.hash(PASSWORD)
    assert first != second
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$"), "64 MiB, three passes: the library's recommendation"
    assert await hasher.verify(PASSWORD, first) == Verified(True)
    assert await hasher.verify(PASSWORD + "x", first) == Verified(False)


@pytest.mark.parametrize(
    ("set_to", "given"),
    [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), ("\u00e9" * MAX_PASSWORD_CHARACTERS, "e\u0301" * MAX_PASSWORD_CHARACTERS)],
)
async def test_the_same_text_typed_in_another_form_is_the_same_password(set_to: str, given: str) -> None:
    hasher = SecretHasher(weak())
    assert (await hasher.verify(given, await hasher.hash(set_to))).right


async def test_a_hash_of_other_parameters_is_taken_and_replaced() -> None:
    old = await SecretHasher(weak(8)).hash(PASSWORD)
    verified = await SecretHasher(weak(16)).verify(PASSWORD, old)
    assert verified.right
    assert verified.new_hash is not None
    assert "m=16," in verified.new_hash
    assert await SecretHasher(weak(16)).verify(PASSWORD, verified.new_hash) == Verified(True)


async def test_a_long_secret_that_was_hashed_elsewhere_is_not_taken() -> None:
    long = "x" * (MAX_PASSWORD_CHARACTERS + 1)
    assert not (await SecretHasher(weak()).verify(long, weak().hash(long))).right


@pytest.mark.parametrize(
    ("secret", "kept"), [(PASSWORD, None), ("", None), ("\ud800", None), ("x" * 10_000, None), (PASSWORD, "no hash"), (PASSWORD, "")]
)
async def test_for_nobody_and_for_nonsense_a_hash_of_equal_cost_is_verified(secret: str, kept: str | None) -> None:
    counting = Counting()
    hasher = SecretHasher(PasswordHash((counting,)))
    right = await hasher.hash(PASSWORD)
    assert (await hasher.verify(PASSWORD, right)).right
    assert await hasher.verify(secret, kept) == Verified(False)
    assert len(counting.verified) == 2, "one hash each, whoever signs in"
    real, decoy = counting.verified
    assert real == right
    assert decoy.split("$")[:4] == right.split("$")[:4], "the same parameters"


async def test_hashes_are_made_in_threads_a_few_at_once_and_too_many_are_refused() -> None:
    counting = Counting()
    hasher = SecretHasher(PasswordHash((counting,)), BulkheadPolicy(concurrent=2, waiting=6))
    kept = await hasher.hash(PASSWORD)
    answers: list[Any] = await asyncio.gather(*(hasher.verify(PASSWORD, kept) for _ in range(12)), return_exceptions=True)
    assert [each for each in answers if isinstance(each, Verified)] == [Verified(True)] * 8
    assert sum(isinstance(each, BulkheadFull) for each in answers) == 4
    assert counting.most == 2
    assert threading.current_thread().name not in counting.threads
