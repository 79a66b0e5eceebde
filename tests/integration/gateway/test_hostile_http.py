"""Bodies, paths and headers that are tricks, sent byte by byte to a running gateway: each gets its expected answer, and none gets 500."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from services.gateway.bodies import NOT_JSON
from tests.integration.gateway.conftest import LIST, Caller, bearer, body
from tests.integration.gateway.test_transport import exchange

pytestmark = pytest.mark.integration
PATH = LIST.encode()


def port_of(call: Caller) -> int:
    return int(call.client.base_url.port or 0)


def statuses(answer: bytes) -> list[int]:
    """The status of each answer on one connection."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def call_of(start: bytes, *fields: bytes, content: bytes = b"") -> bytes:
    """A raw call by an admin, whose connection ends with it."""
    signed = b"Authorization: " + bearer("admin")["Authorization"].encode()
    return b"\r\n".join([start + b" HTTP/1.1", b"Host: x", b"Connection: close", signed, *fields, b"", content])


def post(content: bytes, *fields: bytes) -> bytes:
    length = b"Content-Length: %d" % len(content)
    return call_of(b"POST " + PATH, b"Content-Type: application/json", *(fields or (length,)), content=content)


def bodies() -> dict[str, tuple[bytes, int, str]]:
    """Bodies with the status that each gets, and what is said of it."""
    good = json.dumps(body()).encode()

    def metadata(text: bytes) -> bytes:
        return good[:-1] + b',"metadata":{"a":' + text + b"}}"

    deep, syntax = "The body is nested deeper than 200 levels.", NOT_JSON
    return {
        "nested 100,000 deep": (metadata(b"[" * 100_000 + b"]" * 100_000), 400, deep),
        "nested 100,000 deep, without an end": (b'{"a":' * 40_000, 400, deep),
        "nested 150 deep": (metadata(b"[" * 150 + b"]" * 150), 422, "metadata"),
        "a key twice": (good[:-1] + b',"customer_id":"cust-0099"}', 400, "The body names a key twice."),
        "a key twice, once escaped": (good[:-1] + b',"custo\\u006der_id":"cust-0099"}', 400, "The body names a key twice."),
        "NaN": (metadata(b"NaN"), 400, syntax),
        "Infinity": (metadata(b"Infinity"), 400, syntax),
        "-Infinity": (metadata(b"-Infinity"), 400, syntax),
        "1e400": (metadata(b"1e400"), 400, syntax),
        "a number of 5,000 digits": (metadata(b"9" * 5_000), 400, syntax),
        "a priority of 100 digits": (good[:-1] + b',"priority":' + b"9" * 100 + b"}", 422, "priority"),
        "a priority that is 1e2": (good[:-1] + b',"priority":1e2}', 422, "priority"),
        "bad UTF-8": (metadata(b'"\xff\xfe"'), 400, syntax),
        "overlong UTF-8": (metadata(b'"\xc0\xaf"'), 400, syntax),
        "a surrogate in UTF-8": (metadata(b'"\xed\xa0\x80"'), 400, syntax),
        "a lone surrogate": (metadata(b'"\\ud800"'), 400, syntax),
        "a byte order mark": (b"\xef\xbb\xbf" + good, 400, syntax),
        "UTF-16": (good.decode().encode("utf-16"), 400, syntax),
        "NUL in a text": (json.dumps(body(message="a\x00b")).encode(), 422, "message"),
        "two objects": (good + good, 400, syntax),
        "NUL at the end": (good + b"\x00", 400, syntax),
        "a list": (b"[" + good + b"]", 422, "(whole body)"),
        "a text": (b'"x"', 422, "(whole body)"),
        "null": (b"null", 422, "(whole body)"),
        "nothing": (b"", 400, syntax),
        "a prototype": (good[:-1] + b',"__proto__":{"admin":true}}', 422, "__proto__"),
        "a tenant": (good[:-1] + b',"tenant_id":"other"}', 422, "tenant_id"),
        "a message that is an object": (json.dumps(body(message={"$gt": ""})).encode(), 422, "message"),
        "300,000 bytes": (metadata(b'"' + b"x" * 300_000 + b'"'), 413, "The body has more than 262144 bytes."),
    }


async def test_every_hostile_body_gets_its_expected_answer(call: Caller) -> None:
    wrong = {}
    for name, (content, status, said) in bodies().items():
        answer = await call("POST", LIST, content=content, headers={"Content-Type": "application/json"})
        error = answer.json()["error"]
        if answer.status_code != status or not error["message"].startswith(said):
            wrong[name] = (answer.status_code, error["message"])
    assert not wrong
    assert (await call("GET", LIST)).json()["items"] == []


def paths() -> dict[bytes, int]:
    """The target of a GET by an admin, and the status that it gets."""
    return {
        PATH: 200,
        PATH + b"/": 404,
        b"/" + PATH: 404,
        b"/api//v1/requests": 404,
        b"/api/v1/./requests": 404,
        b"/api/v1/x/../requests": 404,
        b"/api/v1/%2e%2e/v1/requests": 404,
        b"/api/v1/..%2frequests": 404,
        b"/api%2fv1%2frequests": 200,  # unreserved or not, the decoded path is what is routed, and it is guarded as ever
        b"/api/v1/request%73": 200,
        b"/API/V1/REQUESTS": 404,
        PATH + b"/..%2f..%2fhealth": 404,
        PATH + b"/%2e%2e": 404,
        PATH + b"/a%2fb": 404,
        PATH + b"/a%252fb": 404,
        PATH + b"/%00": 422,
        PATH + b"/a%00b": 422,
        PATH + b"/%0d%0aX-Injected:%20yes": 422,
        PATH + b"/%c0%af": 404,
        PATH + b"/%ff": 404,
        PATH + b"/%zz": 404,
        PATH + b"/%": 404,
        PATH + b"/;id": 404,
        PATH + b"/" + b"x" * 5_000: 422,
        PATH + b"/" + b"x" * 9_000: 414,
        PATH + b"?" + b"&".join(b"a=%d" % each for each in range(1_000)): 200,
        PATH + b"?limit=1&limit=2": 200,
        PATH + b"?limit=%00": 422,
        PATH + b"?cursor=%ff": 422,
        PATH + b"?tenant_id=other": 200,
        b"/docs/../api/v1/requests": 404,
        b"/problems/..%2f..%2fetc%2fpasswd": 404,
        b"/problems/%00": 404,
        b"http://evil.example" + PATH: 404,
        b"//evil.example" + PATH: 404,
        b"*": 404,
    }


async def test_every_path_trick_gets_its_expected_answer(call: Caller) -> None:
    wrong = {}
    for target, status in paths().items():
        answer = await exchange(port_of(call), call_of(b"GET " + target))
        if statuses(answer) != [status] or b"x-injected" in answer.lower().split(b"\r\n\r\n")[0]:
            wrong[target[:60]] = answer[:60]
    assert not wrong


async def test_a_path_that_is_spelt_oddly_is_as_guarded_as_its_plain_form(call: Caller) -> None:
    for target in (b"/api%2fv1%2frequests", b"/api/v1/request%73", b"/%61pi/v1/requests"):
        raw = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
        assert statuses(await exchange(port_of(call), raw)) == [401]


def headers() -> dict[str, tuple[bytes, list[int]]]:
    """Raw calls and the statuses of their answers; after what cannot be read the connection is closed, so nothing behind it is."""
    good = json.dumps(body()).encode()
    length = b"Content-Length: %d" % len(good)
    hidden = call_of(b"DELETE " + PATH + b"/req-1")
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(good), good)
    start = b"POST " + PATH
    kind = b"Content-Type: application/json"
    return {
        "two lengths that differ": (post(good, length, b"Content-Length: 5"), [400]),
        "two lengths in one field": (post(good, length + b", 5"), [400]),
        "a negative length": (post(good, b"Content-Length: -1"), [400]),
        "a length with a sign": (post(good, b"Content-Length: +5"), [400]),
        "a length in hexadecimal": (post(good, b"Content-Length: 0x5"), [400]),
        "a length of 10^30": (post(b"", b"Content-Length: " + b"1" + b"0" * 30), [400]),
        "a length of a gigabyte": (post(b"", b"Content-Length: 1000000000"), [413]),
        "length and chunks": (post(chunked, length, b"Transfer-Encoding: chunked") + hidden, [400]),
        "an unknown encoding": (post(good, b"Transfer-Encoding: xchunked"), [501]),
        "chunks and something else": (post(good, b"Transfer-Encoding: chunked, identity"), [501]),
        "chunks twice": (post(good, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), [501]),
        "a space before the colon": (call_of(start, kind, b"Content-Length : 5", content=good), [400]),
        "a folded field": (call_of(b"GET " + PATH, b"X: a", b" b"), [200]),
        "a field without a name": (call_of(b"GET " + PATH, b": a"), [400]),
        "a field without a colon": (call_of(b"GET " + PATH, b"abc"), [400]),
        "NUL in a value": (call_of(b"GET " + PATH, b"X: a\x00b"), [400]),
        "a bare CR in a value": (call_of(b"GET " + PATH, b"X: a\rX-Injected: b"), [400]),
        "bytes above ASCII in a value": (call_of(b"GET " + PATH, b"X: \xff\xfe"), [200]),
        "no Host": (b"GET " + PATH + b" HTTP/1.1\r\n\r\n", [400]),
        "two Hosts": (call_of(b"GET " + PATH, b"Host: evil.example"), [400]),
        "HTTP/0.9": (b"GET " + PATH + b"\r\n\r\n", [400]),
        "HTTP/2 spoken without being asked": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [404, 400]),
        "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01", [400]),
        "a method of its own": (call_of(b"BREW " + PATH), [405]),
        "TRACE": (call_of(b"TRACE " + PATH), [405]),
        "CONNECT": (call_of(b"CONNECT evil.example:443"), [404]),
        "a small method": (call_of(b"get " + PATH), [405]),
        "an upgrade": (call_of(b"GET " + PATH, b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"), [200]),
    }


async def test_every_header_trick_gets_its_expected_answer(call: Caller) -> None:
    wrong: dict[str, Any] = {}
    for name, (raw, expected) in headers().items():
        answer = await exchange(port_of(call), raw)
        if statuses(answer) != expected or b"Traceback" in answer:
            wrong[name] = statuses(answer)
    assert not wrong
    assert (await call("GET", LIST)).json()["items"] == []


async def test_what_cannot_be_read_is_answered_with_the_error_of_all_others(call: Caller) -> None:
    raw = await exchange(port_of(call), b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
    head, _, content = raw.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert json.loads(content)["error"] == {
        "error_type": "ValidationError",
        "message": "The call is not HTTP/1.1 that can be read.",
        "code": "VALIDATION_ERROR",
        "details": {},
    }


async def test_fields_that_would_change_a_call_change_nothing(call: Caller) -> None:
    request_id = await call.created()
    path = f"{LIST}/{request_id}"
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"):
        assert (await call("GET", path, headers={name: "DELETE"})).status_code == 200
        assert (await call("POST", path, headers={name: "DELETE"}, json={})).status_code == 405
    for name in ("X-Original-URL", "X-Rewrite-URL"):
        assert (await call("GET", path, headers={name: "/openapi.json"})).json()["request_id"] == request_id
    for name in ("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Forwarded-Prefix"):
        answer = await call("GET", path, headers={name: "evil.example"})
        assert answer.json()["_links"]["self"]["href"] == f"{call.client.base_url}".rstrip("/") + path
        assert "evil.example" not in answer.text
    for name in ("X-Tenant-ID", "X-User-ID", "X-Role", "X-Forwarded-User", "X-Remote-User"):
        assert (await call("GET", path, headers={name: "admin"}, tenant="other")).status_code == 404
        assert (await call("DELETE", path, "customer", headers={name: "admin"})).status_code == 403
    assert (await call("GET", path)).status_code == 200
