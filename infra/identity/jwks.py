"""The public keys of a foreign issuer: its JWKS URL in, a key by `kid` and algorithm out, fetched in the background by the gateway.

Who asks never waits for the network and never causes a fetch by asking: an unknown `kid` only brings the next fetch forward, and between
two fetches lies a pause, so that invented ids cannot make a flood. Fetches that fail leave the keys as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import warnings
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from infra.errors import TransientError

MOST_BYTES = 128 * 1024
MOST_KEYS = 100
MOST_KID_CHARACTERS = 200
LEAST_RSA_BITS = 2_048
CURVES = {"ES256": "P-256", "EdDSA": "Ed25519"}
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
OK = 200
Keys = Mapping[str, Mapping[str, Key]]
"""`kid` → algorithm → the key that verifies it."""
logger = logging.getLogger(__name__)


class KeysUnavailable(TransientError):
    """The issuer did not answer with a key set. The message says why, and holds nothing of the answer."""


def read_keys(body: bytes, algorithms: Collection[str]) -> Keys:
    """The keys of a JWKS that serve for these algorithms. Left out are those without `kid`, of another `use`, `alg` or curve, too short,
    private or malformed; a set in which no key is left counts, as the issuer's word. Raises KeysUnavailable for what is no key set."""
    try:
        entries = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeysUnavailable("what was answered is no key set (RFC 7517)") from None
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise KeysUnavailable(f"what was answered is no key set of at most {MOST_KEYS} keys")
    found: dict[str, dict[str, Key]] = {}
    for entry in entries:
        key = _public_key(entry)
        for algorithm in algorithms if key is not None else ():
            if key is not None and _serves(key, algorithm):
                found.setdefault(str(key.kid), {}).setdefault(algorithm, key)
    return found


def _public_key(entry: object) -> Key | None:
    """The key of an entry that may verify signatures, or None."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kty"), str) or PRIVATE & entry.keys():
        return None
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    if not isinstance(kid, str) or not 0 < len(kid) <= MOST_KID_CHARACTERS:
        return None
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of short keys, which are left out below
            return JWKRegistry.import_key(entry)
    except (JoseError, TypeError, ValueError, KeyError, OverflowError):
        return None


def _serves(key: Key, algorithm: str) -> bool:
    """Whether the key is one of this algorithm, which its own `alg`, where it has one, must be too."""
    if key.get("alg", algorithm) != algorithm:
        return False
    if isinstance(key, RSAKey):
        return algorithm in ("RS256", "PS256") and key.public_key.key_size >= LEAST_RSA_BITS
    if isinstance(key, ECKey):
        return algorithm == "ES256" and key.curve_name == CURVES[algorithm]
    return isinstance(key, OKPKey) and algorithm == "EdDSA" and key.curve_name == CURVES[algorithm]


class HttpKeySet:
    """Fetches a JWKS: one GET, no redirects, within `seconds` from the first to the last byte, of at most MOST_BYTES."""

    def __init__(self, url: str, seconds: float) -> None:
        # Imported where it is needed: a gateway without foreign issuers saves its memory.
        import httpx2

        self._url = url
        self._seconds = seconds
        self._client = httpx2.AsyncClient(follow_redirects=False, timeout=seconds)
        self._failures = (httpx2.HTTPError, httpx2.StreamError, OSError)

    async def fetch(self) -> bytes:
        """The body. Raises KeysUnavailable."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._body()
        except TimeoutError:
            raise KeysUnavailable(f"no whole answer within {self._seconds:g} s") from None
        except self._failures as error:
            raise KeysUnavailable(f"the issuer could not be reached ({type(error).__name__})") from error

    async def _body(self) -> bytes:
        # As it comes, not decompressed: what is small on the way must not be huge here.
        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        async with self._client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != OK:
                raise KeysUnavailable(f"the issuer answered {response.status_code}")
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise KeysUnavailable(f"the answer is larger than {MOST_BYTES} bytes")
            return bytes(body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class RemoteKeys:
    """The keys as they were fetched last. `refresh_seconds` after a fetch comes the next, earlier where a `kid` was unknown or the fetch
    failed, but never sooner than `pause_seconds`."""

    def __init__(
        self, fetch: Callable[[], Awaitable[bytes]], algorithms: Collection[str], *, refresh_seconds: float, pause_seconds: float
    ) -> None:
        self._fetch = fetch
        self._algorithms = algorithms
        self._refresh_seconds = refresh_seconds
        self._pause_seconds = pause_seconds
        self._keys: Keys | None = None
        self._away = False
        self._wanted = asyncio.Event()
        self._changed: Callable[[], Any] = lambda: None
        self._task: asyncio.Task[None] | None = None

    def when_changed(self, do: Callable[[], Any]) -> None:
        """Call this whenever the set of keys has become another one."""
        self._changed = do

    def find(self, kid: str, algorithm: str) -> Key | None:
        """The key of this id for this algorithm, or None. Raises TransientError while there was no key set yet."""
        if self._keys is None:
            raise TransientError("The keys of the token's issuer are not known yet.")
        keys = self._keys.get(kid)
        if keys is None:
            self._wanted.set()
            return None
        return keys.get(algorithm)

    def start(self) -> None:
        """Fetch from now on, in the background."""
        self._task = asyncio.create_task(self._refresh_for_ever(), name="jwks")

    async def close(self) -> None:
        """Fetch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _refresh_for_ever(self) -> None:
        while True:
            self._wanted.clear()
            well = await self._refresh()
            await asyncio.sleep(self._pause_seconds)
            if well:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._refresh_seconds - self._pause_seconds)):
                        await self._wanted.wait()

    async def _refresh(self) -> bool:
        try:
            keys = read_keys(await self._fetch(), self._algorithms)
        except KeysUnavailable as error:
            self._note_failure(str(error))
            return False
        except Exception as error:  # a defect must not end the task, or a revoked key would be believed for ever
            logger.exception("the keys of the foreign issuer could not be read")
            self._note_failure(type(error).__name__)
            return False
        self._away = False
        if keys != self._keys:
            known = "none" if not keys else len(keys)
            logger.log(logging.INFO if keys else logging.WARNING, "the keys of the foreign issuer have changed", extra={"keys": known})
            self._keys = keys
            self._changed()
        return True

    def _note_failure(self, reason: str) -> None:
        """Told once an outage."""
        if not self._away:
            held = "none" if self._keys is None else len(self._keys)
            logger.warning("the keys of the foreign issuer cannot be fetched", extra={"reason": reason, "keys_held": held})
        self._away = True
