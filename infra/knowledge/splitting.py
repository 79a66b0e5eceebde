"""Cuts a text into passages of about 800 characters at paragraphs, each beginning with the end of the one before; pure, run by adapters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.knowledge.base import Document

PASSAGE_CHARACTERS = 800
OVERLAP_CHARACTERS = 120

_PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_HEADING = re.compile(r"^#{1,6} .*$|^[^\n.!?]{1,60}:?$")


def passages_of(document: Document) -> list[str]:
    """The passages of a document."""
    return split(document.text)


def embedded_text(document: Document, passage: str) -> str:
    """What is embedded of a passage: the title goes with each, because a later passage seldom repeats what it is about."""
    return f"{document.title}\n{passage}"


def split(text: str, size: int = PASSAGE_CHARACTERS, overlap: int = OVERLAP_CHARACTERS) -> list[str]:
    """Passages of at most `size` characters that cover the whole text; no passage for a blank text.

    Paragraphs stay whole where they fit, a heading stays with its paragraph; longer ones are cut at sentences, then at words, then
    anywhere. A passage repeats up to `overlap` characters from the end of the one before: what is asked may stand across the cut.
    """
    if not 0 <= overlap < size // 2:
        raise ValueError(f"an overlap of {overlap} does not leave half of {size} characters for new text")
    room = size - overlap - 2
    passages: list[str] = []
    current = ""
    for piece, separator in _pieces(text.strip(), room):
        joined = f"{current}{separator}{piece}" if current else piece
        if len(joined) <= size:
            current = joined
            continue
        passages.append(current)
        end = _end_of(current, overlap)
        current = f"{end}{separator}{piece}" if end else piece
    return [*passages, current] if current else passages


def _pieces(text: str, room: int) -> Iterator[tuple[str, str]]:
    """Pieces that each fit into `room`, with what stands between each and the one before."""
    for paragraph in _paragraphs(text, room):
        if len(paragraph) <= room:
            yield paragraph, "\n\n"
            continue
        separator = "\n\n"
        for sentence in _SENTENCE_END.split(paragraph):
            for part in _cut(sentence, room):
                yield part, separator
                separator = " "


def _paragraphs(text: str, room: int) -> Iterator[str]:
    """The paragraphs, a heading together with the one after it."""
    heading = ""
    for paragraph in (each.strip() for each in _PARAGRAPH_END.split(text)):
        if not paragraph:
            continue
        if _HEADING.match(paragraph) and not heading:
            heading = paragraph
            continue
        yield f"{heading}\n{paragraph}" if heading else paragraph
        heading = ""
    if heading:
        yield heading


def _cut(sentence: str, room: int) -> Iterator[str]:
    """A sentence that is too long, at white space where there is some in the second half of what fits, else anywhere."""
    while len(sentence) > room:
        space = max(sentence.rfind(" ", room // 2, room + 1), sentence.rfind("\n", room // 2, room + 1))
        at = space if space > 0 else room
        yield sentence[:at].rstrip()
        sentence = sentence[at:].lstrip()
    if sentence:
        yield sentence


def _end_of(passage: str, overlap: int) -> str:
    """The last whole sentences within `overlap` characters, else the last whole words."""
    if len(passage) <= overlap:
        return ""  # repeated whole it would be no end, and its own passage says it all
    tail = passage[len(passage) - overlap :] if overlap else ""
    sentence = _SENTENCE_END.search(tail)
    if sentence and sentence.end() < len(tail):
        return tail[sentence.end() :].strip()
    space = re.search(r"\s", tail)
    return tail[space.end() :].strip() if space else ""
