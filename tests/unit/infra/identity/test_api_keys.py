"""API keys: their form, what is kept of them, and texts that are none."""

from __future__ import annotations

import hashlib
import re

import pytest

from infra.identity.api_keys import new_api_key, parse_api_key, prefix_named

FORM = re.compile(r"am_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}")
RANDOM = "r" * 43
KEY = f"am_abcdEF01_{RANDOM}"
NO_KEYS = (
    "",
    "am_",
    "am_abcdEF01_",
    f"AM_abcdEF01_{RANDOM}",
    f"am_abcdEF0_{RANDOM}",
    f"am_abcdEF0é_{RANDOM}",
    f"am_abcdEF01_{RANDOM[1:]}",
    f"am_abcdEF01_{RANDOM}r",
    f"{KEY}\n",
    f" {KEY}",
    f"am_abcdEF01_{RANDOM[1:]}\x00",
    f"am_abcdEF01_{RANDOM[1:]}=",
    f"am_abcdEF01_{RANDOM[1:]}\udcff",
    "x" * 10_000,
)


def test_a_key_has_its_form_and_is_kept_as_prefix_and_digest() -> None:
    made = new_api_key()
    assert FORM.fullmatch(made.text)
    assert made.text[3:11] == made.prefix
    assert made.digest == hashlib.sha256(made.text.encode()).digest()
    assert parse_api_key(made.text) == made


def test_keys_differ_in_both_parts() -> None:
    made = [new_api_key() for _ in range(200)]
    assert len({each.prefix for each in made}) == len({each.text[12:] for each in made}) == 200


def test_a_key_that_is_printed_by_mistake_shows_its_prefix_only() -> None:
    made = new_api_key()
    assert made.text[12:] not in f"{made} {made!r}"
    assert made.prefix in repr(made)


@pytest.mark.parametrize("text", [*NO_KEYS, "am_abcdEF01"])
def test_a_text_of_another_form_is_no_key(text: str) -> None:
    assert parse_api_key(text) is None


@pytest.mark.parametrize("text", ["abcdEF01", "am_abcdEF01", KEY])
def test_a_person_may_name_a_key_in_three_ways(text: str) -> None:
    assert prefix_named(text) == "abcdEF01"


@pytest.mark.parametrize("text", [*NO_KEYS, "am_abcdEF01_short"])
def test_another_text_names_no_key(text: str) -> None:
    assert prefix_named(text) is None
