"""What JSON readers differ about is refused with 400, each thing with its own cause; what is merely odd is read as it stands."""

from __future__ import annotations

import pytest

from services.gateway.bodies import MAX_DEPTH, NOT_JSON, parse_object
from services.gateway.errors import ApiError

TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return ('{"a":' + opening * (levels - 1) + "1" + closing * (levels - 1) + "}").encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (nested(MAX_DEPTH + 1), TOO_DEEP),
        (nested(MAX_DEPTH + 1, '{"a":', "}"), TOO_DEEP),
        (b"[" * 100_000, TOO_DEEP),
        (b'{"a":' * 50_000, TOO_DEEP),
        (b'{"a":1,"a":2}', "The body names a key twice."),
        (b'{"a":{"b":1,"b":1}}', "The body names a key twice."),
        (b'{"a":NaN}', NOT_JSON),
        (b'{"a":Infinity}', NOT_JSON),
        (b'{"a":-Infinity}', NOT_JSON),
        (b'{"a":1e400}', NOT_JSON),
        (b'{"a":-1e400}', NOT_JSON),
        (b'{"a":' + b"9" * 5_000 + b"}", NOT_JSON),
        (b'{"a":"\xff"}', NOT_JSON),
        (b'{"a":"\xc0\x80"}', NOT_JSON),
        (b'{"a":"\xed\xa0\x80"}', NOT_JSON),
        (b'\xef\xbb\xbf{"a":1}', NOT_JSON),
        ('{"a":1}'.encode("utf-16"), NOT_JSON),
        (b'{"a":"\\ud800"}', NOT_JSON),
        (b'{"\\udc00":1}', NOT_JSON),
        (b'{"a":1}{"a":1}', NOT_JSON),
        (b'{"a":1}\x00', NOT_JSON),
        (b"{'a':1}", NOT_JSON),
        (b'{"a":1,}', NOT_JSON),
        (b'{"a":01}', NOT_JSON),
        (b'{"a":"\x00"}', NOT_JSON),
        (b'{"a":1 // x\n}', NOT_JSON),
        (b"", NOT_JSON),
        (b"{", NOT_JSON),
    ],
)
def test_what_is_not_read_alike_by_all_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_object(body)
    assert (refused.value.status, refused.value.message) == (400, said)


@pytest.mark.parametrize(
    "body", [nested(MAX_DEPTH), b'{"a":"' + b"[{" * 100 + b'"}', b'{"a":"\\"[[[[' + b"[" * 50 + b'"}', b'{"a":"\\u0000"}', b'{"a":1e308}']
)
def test_what_is_odd_and_yet_plain_is_read(body: bytes) -> None:
    assert set(parse_object(body)) == {"a"}


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"true"])
def test_what_is_no_object_is_422(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse_object(body)
    assert refused.value.status == 422
