"""Places: what goes over the wire comes back, and what is not a place of this stream is refused with the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.topics import CONTEXTS
from infra.event_streams.base import WrongPlace, place_of, place_text

ENDS = dict.fromkeys(CONTEXTS, 10**17)


@given(st.dictionaries(st.sampled_from(CONTEXTS), st.integers(0, 10**17), min_size=1))
def test_a_place_comes_back_as_it_was(place: dict[str, int]) -> None:
    assert place_of(place_text(place), tuple(place), ENDS) == place


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "requests", "requests:", "requests:-1", "requests:1.0", "requests:01", "requests:1", "requests:1,tasks:1,agents:1",
        "requests:1,requests:2", "requests:1,tasks:1,", "requests:1;tasks:1", "requests:1,tasks:٣", "requests:1,nobody:1", "tasks:1",
        "requests:1,tasks:9999999999999999999", "requests:1,tasks:11", "' OR 1=1 --", "requests:1,tasks:1" + " " * 2_000, "a" * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_place_of_the_stream_is_refused(text: str) -> None:
    with pytest.raises(WrongPlace):
        place_of(text, ("requests", "tasks"), {"requests": 10, "tasks": 10})


def test_the_order_of_a_place_is_that_of_the_stream() -> None:
    assert list(place_of("tasks:1, requests:2", ("requests", "tasks"), ENDS)) == ["requests", "tasks"]
