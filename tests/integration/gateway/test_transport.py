"""Connections to the gateway's own server, by raw sockets: TLS by files, a place for each connection and no more, headers with an end."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.errors import ConfigurationError
from infra.local_stack.ports import free_port
from infra.runtime.connections import ConnectionLimits
from infra.runtime.http import HttpServer
from infra.runtime.tls import certificate_expiry
from services.gateway.edge import raw_refusal
from services.gateway.settings import GatewaySettings
from services.gateway.worker import tls_of
from tests.integration.gateway.conftest import Spawn
from tests.unit.services.gateway.arena import Arena, bearer

pytestmark = pytest.mark.integration
LIST = "/api/v1/requests"
CERTIFICATE, KEY = "AGENTMESH_GATEWAY_TLS_CERTIFICATE_FILE", "AGENTMESH_GATEWAY_TLS_KEY_FILE"
CALL = b"GET /problems/FORBIDDEN HTTP/1.1\r\nHost: x\r\n\r\n"


def key_text(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    kind = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind)


def make_files(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key_text(key))
    return certificate_file, key_file


@asynccontextmanager
async def served(tls: ssl.SSLContext | None = None, limits: ConnectionLimits | None = None) -> AsyncIterator[int]:
    """The port of a gateway without workers, on the server of the real one."""
    arena = Arena()
    refusal = partial(raw_refusal, settings=arena.settings)
    server = HttpServer(arena.app, "127.0.0.1", 0, tls=tls, limits=limits, refusal=refusal, keep_alive_seconds=30)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


async def said(reader: asyncio.StreamReader, seconds: float = 5) -> bytes:
    """All that the server says until it closes."""
    try:
        return await asyncio.wait_for(reader.read(), seconds)
    except ConnectionResetError:
        return b""


async def exchange(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    try:
        return await said(reader)
    finally:
        writer.close()


def split(answer: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, fields and JSON of one raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split(" ")[1]), fields, json.loads(body)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_with_a_certificate_the_api_is_spoken_to_by_tls_of_1_2_or_newer(tmp_path: Path) -> None:
    certificate, key = make_files(tmp_path)
    own = GatewaySettings(tls_certificate_file=certificate, tls_key_file=key, port=8443)
    assert own.url == "https://127.0.0.1:8443"
    expiry = certificate_expiry(certificate)
    assert expiry is not None
    assert abs(expiry - (datetime.now(UTC) + timedelta(hours=1)).timestamp()) < 60
    assert certificate_expiry(key) is None, "no certificate is no reason to fail"
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with served(tls_of(own)) as port:
        async with httpx2.AsyncClient(verify=trusting, base_url=f"https://127.0.0.1:{port}") as client:
            answer = await client.get(LIST, headers=bearer())
            assert (answer.status_code, answer.headers["strict-transport-security"]) == (200, "max-age=31536000")
        for highest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1):
            older = ssl.create_default_context(cafile=str(certificate))
            older.minimum_version = ssl.TLSVersion.TLSv1
            older.maximum_version = highest
            older.set_ciphers("DEFAULT@SECLEVEL=0")
            opening = asyncio.open_connection("127.0.0.1", port, ssl=older)
            if highest is ssl.TLSVersion.TLSv1_2:
                _, writer = await opening
                assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
                writer.close()
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await opening
        plain = await exchange(port, CALL)
        assert b"200 OK" not in plain


def wrong_files(folder: Path) -> list[tuple[Path, Path, str]]:
    certificate, key = make_files(folder)
    other, encrypted, garbage = folder / "other.pem", folder / "encrypted.pem", folder / "garbage.pem"
    other.write_bytes(key_text(ec.generate_private_key(ec.SECP256R1())))
    encrypted.write_bytes(key_text(ec.generate_private_key(ec.SECP256R1()), b"hunter2"))
    garbage.write_text("hunter2")
    return [
        (folder / "nowhere.pem", key, f"The file that {CERTIFICATE} names cannot be read (No such file or directory)."),
        (certificate, folder, f"The file that {KEY} names cannot be read (Is a directory)."),
        (certificate, other, f"The key that {KEY} names is not that of the certificate of {CERTIFICATE}."),
        (certificate, encrypted, f"The key that {KEY} names is encrypted: give one without a password."),
        (garbage, key, f"The files that {CERTIFICATE} and {KEY} name are not a certificate and its key in PEM"),
        (certificate, garbage, f"The files that {CERTIFICATE} and {KEY} name are not a certificate and its key in PEM"),
    ]


def test_files_that_cannot_work_are_refused_with_the_name_of_the_setting(tmp_path: Path) -> None:
    for certificate, key, line in wrong_files(tmp_path):
        with pytest.raises(ConfigurationError) as refused:
            tls_of(GatewaySettings(tls_certificate_file=certificate, tls_key_file=key))
        assert str(refused.value).startswith(line)
        assert "hunter2" not in str(refused.value)


async def test_the_process_serves_tls_and_refuses_to_start_without_the_key(spawn: Spawn, tmp_path: Path) -> None:
    certificate, key = make_files(tmp_path)
    refused = await spawn(free_port(set()), ready=False, **{CERTIFICATE: str(certificate), KEY: str(tmp_path / "nowhere.pem")})
    assert await refused.ended() == 78
    assert f"The file that {KEY} names cannot be read" in refused.log.read_text()
    assert "Traceback" not in refused.log.read_text()
    gateway = await spawn(free_port(set()), **{CERTIFICATE: str(certificate), KEY: str(key), "AGENTMESH_REPLICA_NAME": "gateway"})
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with httpx2.AsyncClient(verify=trusting) as client:
        answer = await client.get(f"{gateway.url.replace('http:', 'https:')}/openapi.json")
    assert answer.json()["servers"][0]["url"].startswith("https://127.0.0.1")


async def test_more_connections_than_allowed_get_503_and_a_place_that_is_free_again_is_taken() -> None:
    async with served(limits=ConnectionLimits(most=3)) as port:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        status, fields, body = split(await said(reader))
        assert (status, fields["retry-after"], fields["connection"], body["error"]["code"]) == (503, "2", "close", "SERVICE_UNAVAILABLE")
        assert fields["x-request-id"].startswith("req-")
        writer.close()
        for _, each in kept:
            each.write(CALL)
        assert [(await each.readline()) for each, _ in kept] == [b"HTTP/1.1 200 OK\r\n"] * 3
        kept[0][1].close()
        await kept[0][1].wait_closed()
        async with asyncio.timeout(5):
            while b"200 OK" not in (answer := await exchange(port, CALL.replace(b"Host", b"Connection: close\r\nHost"))):
                assert b"503" in answer or not answer
        for _, each in kept[1:]:
            each.close()


async def test_a_header_that_does_not_come_costs_its_connection() -> None:
    async with served(limits=ConnectionLimits(header_seconds=0.2)) as port:
        silent, _ = await asyncio.open_connection("127.0.0.1", port)
        assert await said(silent) == b""
        status, fields, body = split(await exchange(port, CALL[:-3]))
        assert (status, fields["connection"], body["error"]["code"]) == (408, "close", "REQUEST_TIMEOUT")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)  # a second call on one connection has an end too
        writer.write(CALL + CALL[:10])
        assert (await said(reader)).count(b"HTTP/1.1 ") == 2
        writer.close()


async def test_who_sends_a_header_in_time_may_wait_between_calls_and_within_a_body() -> None:
    async with served(limits=ConnectionLimits(header_seconds=0.2)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        token = bearer()["Authorization"].encode()
        head = b"POST /api/v1/requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        for _ in range(2):
            writer.write(head + b"Authorization: " + token + b"\r\n\r\n{")
            await asyncio.sleep(0.5)
            writer.write(b"}")
            assert await reader.readline() == b"HTTP/1.1 422 Unprocessable Entity\r\n"
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length") else length
            await reader.readexactly(length)
            await asyncio.sleep(0.5)
        writer.close()


async def test_a_header_without_an_end_is_431_and_is_not_kept() -> None:
    async with served(limits=ConnectionLimits(header_bytes=32 * 1024)) as port:
        status, fields, body = split(await exchange(port, CALL[:-2] + b"X: " + b"x" * 200_000))
        assert (status, fields["connection"], body["error"]["code"]) == (431, "close", "HEADERS_TOO_LARGE")


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"".join(b"X-%d: 1\r\n" % each for each in range(200)), 431, "HEADERS_TOO_LARGE"),
        (b"X: " + b"x" * 31_000 + b"\r\nY: " + b"y" * 31_000 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
    ],
)
async def test_a_whole_header_that_is_too_large_is_431(head: bytes, status: int, code: str) -> None:
    async with served() as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n")
        found, fields, body = split(answer)
        assert (found, body["error"]["code"], "x-request-id" in fields) == (status, code, True)


async def test_a_url_that_is_too_long_is_414() -> None:
    async with served() as port:
        answer = await exchange(port, b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found, _, body = split(answer)
        assert (found, body["error"]["details"]) == (414, {"limit_bytes": 8_192})
