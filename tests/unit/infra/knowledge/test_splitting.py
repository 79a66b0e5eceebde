"""Texts are cut into passages: none too long, nothing lost, cut where a reader would."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.knowledge.base import Document
from infra.knowledge.splitting import OVERLAP_CHARACTERS, PASSAGE_CHARACTERS, embedded_text, passages_of, split

SENTENCE = "This sentence is here to fill the page. "


def paragraphs(count: int, sentences: int) -> str:
    return "\n\n".join(f"Start of paragraph {number}. " + (SENTENCE * sentences).strip() for number in range(count))


@pytest.mark.parametrize("text", ["", " ", "\n\n \n"])
def test_a_blank_text_has_no_passage(text: str) -> None:
    assert split(text) == []


def test_a_short_text_is_one_passage_as_it_stands() -> None:
    assert split("\nOne line.\n\nAnother, with  spaces.\n") == ["One line.\n\nAnother, with  spaces."]


def test_short_paragraphs_are_put_together_and_never_cut() -> None:
    text = paragraphs(12, 5)
    passages = split(text)
    assert 3 <= len(passages) <= 6
    assert all(len(passage) <= PASSAGE_CHARACTERS for passage in passages)
    for paragraph in text.split("\n\n"):
        assert any(paragraph in passage for passage in passages)


def test_a_passage_begins_with_the_last_sentences_of_the_one_before() -> None:
    before, *others = split(paragraphs(12, 5))
    for passage in others:
        end = passage.split("\n\n")[0]
        assert 0 < len(end) <= OVERLAP_CHARACTERS
        assert before.endswith(end)
        assert end.startswith("This sentence")
        before = passage


def test_a_heading_stays_with_its_paragraph() -> None:
    text = f"{paragraphs(1, 17)}\n\n## How it goes on\n\n{paragraphs(1, 4)}"
    (passage,) = [each for each in split(text) if "How it goes on" in each]
    assert "## How it goes on\nStart of paragraph 0." in passage
    assert split("Some text that ends.\n\n## Nothing below") == ["Some text that ends.\n\n## Nothing below"]


def test_a_long_paragraph_is_cut_at_sentences() -> None:
    passages = split(SENTENCE * 100)
    assert all(PASSAGE_CHARACTERS // 2 < len(passage) <= PASSAGE_CHARACTERS for passage in passages[:-1])
    assert all(passage.endswith("page.") and passage.startswith("This") for passage in passages)


def test_a_long_sentence_is_cut_at_words_and_a_long_word_anywhere() -> None:
    words = split("word " * 1_000)
    assert all(set(passage.split()) == {"word"} for passage in words)
    letters = split("x" * 5_000)
    assert all(len(passage) <= PASSAGE_CHARACTERS for passage in letters)
    assert sum(map(len, letters)) >= 5_000


def test_an_overlap_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="does not leave half"):
        split("text", 100, 50)


def test_the_title_is_embedded_with_every_passage() -> None:
    document = Document("a", "The title", SENTENCE * 60)
    assert passages_of(document) == split(document.text)
    assert embedded_text(document, "A passage.") == "The title\nA passage."


@given(st.text(alphabet=st.sampled_from("ab .!?\n\t#é"), max_size=1_500), st.integers(20, 300), st.integers(0, 9))
def test_passages_are_never_too_long_and_nothing_is_lost(text: str, size: int, overlap: int) -> None:
    passages = split(text, size, overlap)
    assert all(0 < len(passage) <= size for passage in passages)
    rest = iter("".join(passages))
    # Every visible character of the text comes again, in order, between what is repeated.
    assert all(char in rest for char in re.sub(r"\s", "", text))
