"""A foreign issuer for tests: keys, tokens that they sign, and a real HTTP server that answers its JWKS, well or as ill as it is told."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

NAME = "https://login.example"
AUDIENCE = "agentmesh-api"


def new_key(algorithm: str, kid: str) -> Key:
    """A private key for this algorithm."""
    parameters: Any = {"kid": kid, "use": "sig", "alg": algorithm}
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters)
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519", parameters)
    return RSAKey.generate_key(2_048, parameters)


def public(key: Key, **changes: Any) -> dict[str, Any]:
    """The key as it stands in a JWKS; a change to None leaves the member out."""
    members = {**key.as_dict(private=False), **changes}
    return {name: value for name, value in members.items() if value is not None}


def key_set(*keys: Key) -> bytes:
    """The JWKS of these keys."""
    return json.dumps({"keys": [public(key) for key in keys]}).encode()


def claims(now: int | None = None, **changes: Any) -> dict[str, Any]:
    """What a token of the issuer says; a change to None leaves the claim out."""
    at = int(time.time()) if now is None else now
    found = {
        "iss": NAME,
        "aud": AUDIENCE,
        "iat": at,
        "exp": at + 600,
        "user_id": "ann",
        "tenant_id": "acme",
        "role": "manager",
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Key, said: Mapping[str, Any], algorithm: str, **header: Any) -> str:
    """A token that the key has signed."""
    fields = {"alg": algorithm, "kid": key.kid, **header}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EdDSA has a newer name that few issuers use
        kept = {name: value for name, value in fields.items() if value is not None}
        return jwt.encode(kept, dict(said), key, registry=_loose(algorithm))


def _loose(algorithm: str) -> JWSRegistry:
    return JWSRegistry(algorithms=[algorithm], strict_check_header=False)


def with_secret(secret: bytes, said: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """A token signed by HMAC with any secret, as no library would make it."""
    message = f"{_part(header)}.{_part(said)}"
    digest = hmac.new(secret, message.encode(), "sha256").digest()
    return f"{message}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class JwksServer:
    """What is answered, and how often it was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.headers: dict[str, str] = {}
        self.pieces: Iterable[bytes] = (b'{"keys": []}',)
        self.pause = 0.0
        self.asked = 0
        self.elsewhere = 0

    def answers(self, body: bytes) -> None:
        """Answer this from now on."""
        self.pieces = (body,)


@contextmanager
def served() -> Iterator[JwksServer]:
    """A server on a free port of this machine, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/jwks":
                found.elsewhere += 1
            found.asked += 1
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for piece in found.pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(found.pause)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            """Not in the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    found = JwksServer(f"http://127.0.0.1:{server.server_port}/jwks")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
