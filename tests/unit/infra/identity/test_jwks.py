"""The keys of a foreign issuer, from a real HTTP server: rotation, bad answers, and no more fetches than the pause allows."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from infra.errors import TransientError
from infra.identity.jwks import MOST_BYTES, MOST_KEYS, HttpKeySet, KeysUnavailable, RemoteKeys, read_keys
from tests.foreign_issuer import JwksServer, key_set, new_key, public, served

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
PAUSE = 0.1
RSA, EC, ED = new_key("RS256", "rsa"), new_key("ES256", "ec"), new_key("EdDSA", "ed")


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with served() as found:
        yield found


OpenKeys = Callable[..., RemoteKeys]


@pytest.fixture
async def opened(server: JwksServer) -> AsyncIterator[OpenKeys]:
    """Starts keys that are fetched from the server; they are closed at the end."""
    source = HttpKeySet(server.url, 0.3)
    running: list[RemoteKeys] = []

    def start(refresh: float = PAUSE, pause: float = PAUSE) -> RemoteKeys:
        keys = RemoteKeys(source.fetch, ALGORITHMS, refresh_seconds=refresh, pause_seconds=pause)
        keys.start()
        running.append(keys)
        return keys

    yield start
    for each in running:
        await each.close()
    await source.close()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if true():
            return
        await asyncio.sleep(0.01)
    assert true()


def has(keys: RemoteKeys, kid: str, algorithm: str = "ES256") -> Callable[[], bool]:
    def look() -> bool:
        try:
            return keys.find(kid, algorithm) is not None
        except TransientError:
            return False

    return look


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
async def test_a_key_of_each_kind_is_found_by_its_id_and_its_algorithm_alone(
    key: Key, algorithm: str, server: JwksServer, opened: OpenKeys
) -> None:
    server.answers(key_set(RSA, EC, ED))
    keys = opened()
    await until(has(keys, str(key.kid), algorithm))
    assert {each for each in ALGORITHMS if keys.find(str(key.kid), each)} == {algorithm}
    assert keys.find("another", algorithm) is None


def test_a_key_that_names_no_algorithm_serves_for_all_of_its_kind_that_are_pinned() -> None:
    body = json.dumps({"keys": [public(RSA, alg=None, use=None)]}).encode()
    assert set(read_keys(body, ALGORITHMS)["rsa"]) == {"RS256", "PS256"}
    assert set(read_keys(body, ("PS256", "ES256"))["rsa"]) == {"PS256"}


def changed(key: Key, **changes: Any) -> dict[str, Any]:
    return public(key, **changes)


def short_key() -> Key:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RSAKey.generate_key(1_024, {"kid": "short"})


UNFIT: dict[str, Any] = {
    "symmetric": OctKey.generate_key(256, {"kid": "oct"}).as_dict(private=True),
    "symmetric that calls itself RS256": {**OctKey.generate_key(256).as_dict(private=True), "kid": "oct", "alg": "RS256"},
    "for encryption": changed(RSA, use="enc"),
    "for other operations": changed(RSA, key_ops=["encrypt"], use=None),
    "of a use that nobody knows": changed(RSA, use="x"),
    "without an id": changed(RSA, kid=None),
    "with an empty id": changed(RSA, kid=""),
    "with an endless id": changed(RSA, kid="k" * 201),
    "with a number as id": changed(RSA, kid=7),
    "of an algorithm that is not pinned": changed(RSA, alg="RS512"),
    "of another kind's algorithm": changed(RSA, alg="ES256"),
    "of another curve": public(ECKey.generate_key("P-384", {"kid": "ec"})),
    "of a curve for agreement": public(OKPKey.generate_key("X25519", {"kid": "ed"})),
    "short": public(short_key()),
    "private": RSA.as_dict(private=True),
    "without its modulus": changed(RSA, n=None),
    "off its curve": changed(EC, x=public(EC)["y"]),
    "with a modulus that is no base64": changed(RSA, n="%"),
    "of a kind that nobody knows": {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44"},
    "of a list's kind": {"kty": ["RSA"], "kid": "rsa"},
    "a text": "RSA",
    "nothing": None,
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_unfit_key_is_left_out_and_harms_no_other(name: str) -> None:
    body = json.dumps({"keys": [UNFIT[name], public(new_key("ES256", "good"))]}).encode()
    assert set(read_keys(body, ALGORITHMS)) == {"good"}


async def test_keys_rotate_with_overlap_and_a_removed_one_is_gone(server: JwksServer, opened: OpenKeys) -> None:
    old, new = new_key("ES256", "old"), new_key("ES256", "new")
    changes = []
    server.answers(key_set(old))
    keys = opened()
    keys.when_changed(lambda: changes.append(1))
    await until(has(keys, "old"))
    server.answers(key_set(old, new))
    await until(has(keys, "new"))
    assert keys.find("old", "ES256") is not None
    server.answers(key_set(new))
    await until(lambda: keys.find("old", "ES256") is None)
    assert keys.find("new", "ES256") is not None
    asked = server.asked
    await until(lambda: server.asked >= asked + 2)
    assert len(changes) == 3


async def test_a_set_without_keys_is_the_issuers_word(server: JwksServer, opened: OpenKeys) -> None:
    server.answers(key_set(EC))
    keys = opened()
    await until(has(keys, "ec"))
    server.answers(key_set())
    await until(lambda: keys.find("ec", "ES256") is None)


def endless() -> Iterator[bytes]:
    return itertools.repeat(b" " * 4_096)


ILL: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "not found": {"status": 404},
    "no content": {"status": 204, "pieces": ()},
    "a redirect": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "nothing": {"pieces": (b"",)},
    "no JSON": {"pieces": (b"<html>",)},
    "no UTF-8": {"pieces": (b'{"keys": "\xff"}',)},
    "a list": {"pieces": (b"[]",)},
    "keys that are no list": {"pieces": (b'{"keys": {}}',)},
    "another object": {"pieces": (b'{"error": "x"}',)},
    "deep": {"pieces": (b"[" * 100_000,)},
    "too many keys": {"pieces": (json.dumps({"keys": [{}] * (MOST_KEYS + 1)}).encode(),)},
    "cut short": {"headers": {"Content-Length": "5000"}},
    "compressed": {"headers": {"Content-Encoding": "gzip"}, "pieces": (gzip.compress(key_set(RSA)),)},
    "huge": {"pieces": (b'{"keys": [' + b" " * MOST_BYTES, b"]}")},
    "without an end": {"pieces": endless()},
    "drop by drop": {"pieces": itertools.repeat(b" "), "pause": 0.05},
}


@pytest.mark.parametrize("name", ILL)
async def test_an_ill_answer_leaves_the_keys_as_they_are(name: str, server: JwksServer, opened: OpenKeys) -> None:
    server.answers(key_set(EC))
    keys = opened()
    await until(has(keys, "ec"))
    for field, value in ({"pieces": (key_set(RSA),)} | ILL[name]).items():
        setattr(server, field, value)
    asked = server.asked
    await until(lambda: server.asked >= asked + 2)
    assert keys.find("ec", "ES256") is not None
    assert keys.find("rsa", "RS256") is None
    assert server.elsewhere == 0
    server.status, server.headers, server.pause = 200, {}, 0.0
    server.answers(key_set(ED))
    await until(has(keys, "ed", "EdDSA"))


@pytest.mark.parametrize("name", ["drop by drop", "without an end"])
async def test_a_fetch_ends_in_time_whatever_the_server_does(name: str, server: JwksServer) -> None:
    for field, value in ILL[name].items():
        setattr(server, field, value)
    source = HttpKeySet(server.url, 0.3)
    began = time.monotonic()
    with pytest.raises(KeysUnavailable, match=r"^(no whole answer within 0.3 s|the answer is larger than 131072 bytes)$"):
        await source.fetch()
    assert time.monotonic() - began < 5
    await source.close()


async def test_an_issuer_that_is_away_is_awaited(caplog: pytest.LogCaptureFixture) -> None:
    with served() as gone:
        pass
    source = HttpKeySet(gone.url, 1)
    keys = RemoteKeys(source.fetch, ALGORITHMS, refresh_seconds=0.05, pause_seconds=0.02)
    keys.start()
    await until(lambda: "cannot be fetched" in caplog.text)
    await asyncio.sleep(0.2)
    with pytest.raises(TransientError):
        keys.find("ec", "ES256")
    assert caplog.text.count("cannot be fetched") == 1
    await keys.close()
    await source.close()


async def test_a_defect_does_not_end_the_refreshing() -> None:
    answers = iter([RuntimeError("defect"), key_set(EC)])

    async def fetch() -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = RemoteKeys(fetch, ALGORITHMS, refresh_seconds=100, pause_seconds=0.01)
    keys.start()
    await until(has(keys, "ec"))
    await keys.close()


async def test_an_unknown_id_brings_the_next_fetch_forward(server: JwksServer, opened: OpenKeys) -> None:
    server.answers(key_set(EC))
    keys = opened(refresh=100)
    await until(has(keys, "ec"))
    await asyncio.sleep(3 * PAUSE)
    assert server.asked == 1
    assert keys.find("ec", "RS256") is None
    await asyncio.sleep(3 * PAUSE)
    assert server.asked == 1, "a known id asks for nothing"
    server.answers(key_set(EC, ED))
    assert keys.find("ed", "EdDSA") is None
    await until(has(keys, "ed", "EdDSA"))
    assert server.asked == 2


async def test_a_flood_of_unknown_ids_makes_no_more_fetches_than_the_pause_allows(server: JwksServer, opened: OpenKeys) -> None:
    server.answers(key_set(EC))
    pause = 0.3
    keys = opened(refresh=100, pause=pause)
    await until(has(keys, "ec"))
    began, number = time.monotonic(), 0
    while time.monotonic() < began + 4 * pause:
        for _ in range(200):
            number += 1
            assert keys.find(f"invented-{number}", "ES256") is None
        await asyncio.sleep(0.005)
    assert number > 1_000
    assert 2 <= server.asked <= 1 + (time.monotonic() - began) / pause
    assert keys.find("ec", "ES256") is not None
