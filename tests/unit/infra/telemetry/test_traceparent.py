"""The W3C header is read as the standard says; a malformed one is ignored."""

import pytest

from infra.telemetry.traceparent import Traceparent, format_traceparent, parse_traceparent, says_sampled

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False)])
def test_a_good_header(flags: str, sampled: bool) -> None:
    parsed = parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
    assert parsed == Traceparent(TRACE, SPAN, int(flags, 16))
    assert parsed is not None
    assert parsed.sampled is sampled
    assert says_sampled(f"00-{'a' * 32}-{'b' * 16}-{flags}") is sampled


@pytest.mark.parametrize("header", [None, "", "1", f"00-{'a' * 32}-{'b' * 16}-0"])
def test_what_has_no_flags_is_not_sampled(header: str | None) -> None:
    assert not says_sampled(header)


def test_a_later_version_may_say_more() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings") == Traceparent(TRACE, SPAN, 1)


@pytest.mark.parametrize(
    "text",
    [
        None, "", "garbage", "0" * 55,
        f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-01-more", f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-zz", f"00_{TRACE}_{SPAN}_01", f"00-{TRACE[:-1]}é-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01x",
    ],
)  # fmt: skip
def test_a_malformed_header_is_ignored(text: str | None) -> None:
    assert parse_traceparent(text) is None


def test_what_is_written_can_be_read_with_leading_zeros_kept() -> None:
    text = format_traceparent(0xAB, 0xCD, 1)
    assert text == f"00-{'ab'.rjust(32, '0')}-{'cd'.rjust(16, '0')}-01"
    assert parse_traceparent(text) == Traceparent("ab".rjust(32, "0"), "cd".rjust(16, "0"), 1)
