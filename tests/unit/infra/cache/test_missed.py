"""Missed invalidations: kept one by one, bounded, and not made up for by what was done before they came again."""

from __future__ import annotations

from infra.cache.missed import EVERYTHING, Missed, MissedInvalidations

KEY = Missed("a", False)
PATTERN = Missed("a*", True)


def test_what_is_made_up_for_is_forgotten() -> None:
    missed = MissedInvalidations(10)
    assert not missed
    missed.add(KEY)
    missed.add(PATTERN)
    assert missed
    for entry, number in missed.entries():
        missed.made_up(entry, number)
    assert not missed


def test_an_entry_that_came_again_meanwhile_stays() -> None:
    missed = MissedInvalidations(10)
    missed.add(KEY)
    ((entry, number),) = missed.entries()
    missed.add(KEY)
    missed.made_up(entry, number)
    assert [each for each, _ in missed.entries()] == [KEY]


def test_beyond_the_bound_everything_must_go_and_stays_one_entry() -> None:
    missed = MissedInvalidations(2)
    for text in "abab":
        missed.add(Missed(text, False))
    assert len(missed.entries()) == 2
    missed.add(Missed("c", False))
    assert [each for each, _ in missed.entries()] == [EVERYTHING]
    ((entry, number),) = missed.entries()
    missed.add(Missed("d", False))
    assert [each for each, _ in missed.entries()] == [EVERYTHING]
    missed.made_up(entry, number)
    assert missed, "the key that came meanwhile was not made up for"
    for entry, number in missed.entries():
        missed.made_up(entry, number)
    assert not missed


def test_everything_takes_the_place_of_all_else() -> None:
    missed = MissedInvalidations(10)
    missed.add(KEY)
    missed.add(EVERYTHING)
    missed.add(PATTERN)
    assert [each for each, _ in missed.entries()] == [EVERYTHING]


def test_a_key_that_is_called_like_the_pattern_of_everything_is_a_key() -> None:
    missed = MissedInvalidations(10)
    missed.add(Missed("*", False))
    assert [each for each, _ in missed.entries()] == [Missed("*", False)]
