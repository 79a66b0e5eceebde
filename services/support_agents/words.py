"""Turns a message into words and finds phrases in them: text in, normalised words and matches out; pure, run by the rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

Value = TypeVar("Value")

CLAUSE_END = "|"
MAX_GAP = 3
_MAX_SHOWN_WORD = 30

_FOLDED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "’": "'", "\u2018": "'", "`": "'", "\u00b4": "'"})
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[.,;:!?…()|\n–—]")
# A stop, comma or colon inside a number or a file name ends no clause: 1,240.00 and report.csv are one thought.
_INNER_MARK = re.compile(r"(?<=\w)[.,:](?=\w)")
_CONTRAST = frozenset({"but", "however", "although", "though", "aber", "sondern", "jedoch", "obwohl"})
_NOTATION_WORD = re.compile(r"\([^)]*\)\S*|\S+")
_OPEN_WORD = re.compile(r"[*~]")  # its words are not known beforehand
_GAP = rf"(?: [^ {re.escape(CLAUSE_END)}]+){{0,{MAX_GAP}}}"


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_GERMAN = _set_of(
    """
    ich wir sie ihr mein meine meinen meiner ihre ihren unser unsere der die das den dem des ein eine einen einem einer und oder
    aber nicht kein keine ist sind war wurde wird werden habe haben hat kann wie wo wann warum wer welche bitte mit von fuer auf bei
    noch auch schon seit nach zum zur im vom es mir mich uns danke vielen hallo guten hilfe gibt
    """
)
_ENGLISH = _set_of(
    """
    i we you they my your our their the a an and or but not no is are was were will be been have has had can could would do does did
    how where when why who which please with from for on at by still also since after to it me us thanks thank hello hi help this
    that there in of
    """
)


class Language(StrEnum):
    """The languages that the rules read and answer in."""

    ENGLISH = "en"
    GERMAN = "de"


@dataclass(frozen=True, slots=True)
class Text:
    """A message as the phrases read it: folded words with one space between them, and a bar where a clause ends."""

    content: str
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Match:
    """Where a phrase was found in the normalised text, and the words of it that a reader is shown."""

    start: int
    end: int
    shown: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase to look for. In its notation `*` stands for any letters, `~` for up to three words, `(a|b)` for a choice."""

    notation: str
    pattern: re.Pattern[str]
    needed: tuple[frozenset[str], ...]
    """Of each of these sets one word must be in the text: asked first, because most phrases fail here, and cheaply."""

    def find(self, text: Text) -> list[Match]:
        """Every place of the phrase."""
        if any(text.words.isdisjoint(choice) for choice in self.needed):
            return []
        return [
            Match(found.start() + 1, found.end(), _shown(self.notation, found.group())) for found in self.pattern.finditer(text.content)
        ]


class PhraseIndex(Generic[Value]):
    """Phrases, each with a value, by a word that each needs: a text is searched only for the few that it may hold."""

    def __init__(self, phrases: Iterable[tuple[Phrase, Value]]) -> None:
        self._phrases = tuple(phrases)
        self._needing: dict[str, list[int]] = {}
        self._needing_none: list[int] = []
        for number, (each, _) in enumerate(self._phrases):
            for word in min(each.needed, key=len, default=()):
                self._needing.setdefault(word, []).append(number)
            if not each.needed:
                self._needing_none.append(number)

    def find(self, text: Text) -> Iterator[tuple[Match, Value]]:
        """Every place of every phrase, in the order of the phrases."""
        numbers = {number for word in text.words for number in self._needing.get(word, ())}
        for number in sorted(numbers.union(self._needing_none)):
            each, value = self._phrases[number]
            for match in each.find(text):
                yield match, value


def phrase(notation: str) -> Phrase:
    """The phrase of a notation, written in any case of letters."""
    words = _NOTATION_WORD.findall(fold(notation))
    pattern = "".join(_GAP if word == "~" else " " + _word_pattern(word) for word in words)
    needed = tuple(frozenset(choice.split()[0] for choice in word.strip("()").split("|")) for word in words if not _OPEN_WORD.search(word))
    return Phrase(notation, re.compile(pattern + "(?= )"), needed)


def phrases(notations: str) -> tuple[Phrase, ...]:
    """The phrases of a list that commas separate."""
    return tuple(phrase(" ".join(each.split())) for each in notations.split(","))


def fold(text: str) -> str:
    """Lower case, and umlauts as two letters, so that `Rückerstattung` and `RUECKERSTATTUNG` are the same word."""
    return unicodedata.normalize("NFC", text).lower().translate(_FOLDED)


def normalise(message: str) -> Text:
    """The message as the phrases read it."""
    tokens = _TOKEN.findall(_INNER_MARK.sub(" ", fold(message)))
    content = f" {' '.join(_clause_end_or_word(token) for token in tokens)} "
    return Text(content, frozenset(content.split()))


def language_of(message: str) -> Language:
    """The language that more of the small words belong to; English when neither does."""
    words = normalise(message).content.split()
    german, english = _count(words, _GERMAN), _count(words, _ENGLISH)
    return Language.GERMAN if german > english else Language.ENGLISH


def is_small_word(folded: str) -> bool:
    """True for words that carry grammar rather than meaning."""
    return folded in _GERMAN or folded in _ENGLISH


def _count(words: Iterable[str], known: frozenset[str]) -> int:
    return sum(word in known for word in words)


def _clause_end_or_word(token: str) -> str:
    if token in _CONTRAST:
        return f"{CLAUSE_END} {token}"
    return token if token[0].isalnum() else CLAUSE_END


def _word_pattern(word: str) -> str:
    return word.replace("(", "(?:").replace("*", rf"[^ {re.escape(CLAUSE_END)}]*")


def _shown(notation: str, found: str) -> str:
    """The found words; what stood in a gap is left out, because it may be anything that the customer wrote."""
    words = [word[:_MAX_SHOWN_WORD] for word in found.split()]
    return f"{words[0]} … {words[-1]}" if "~" in notation and len(words) > 2 else " ".join(words)
