"""Says what research looks for: a message and its category in, search terms out; pure, run by the research agent."""

from __future__ import annotations

import re
import unicodedata

from contracts.requests.values import Category
from services.support_agents.classify import evidence_words
from services.support_agents.words import fold, is_small_word

MAX_TERMS = 8
MAX_TERM_CHARACTERS = 40

_SHORTEST = 3
# Addresses and long numbers (cards, phones, accounts) find no article, and are nobody's business outside the request.
_GROUPED_NUMBER = re.compile(r"\+?\d[\d /-]{4,}\d")
_LONG_NUMBER = re.compile(r"\d{6}")
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_GREETINGS = frozenset(
    {"dear", "sir", "madam", "regards", "kind", "sincerely", "good", "afternoon", "evening", "tag", "freundlichen", "gruessen", "gruesse"}
)
_DAYS = frozenset(
    {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "yesterday", "tomorrow", "morning", "week"}
    | {"montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "heute", "gestern", "morgen", "woche"}
)
_NEGATIONS = frozenset({"don't", "doesn't", "didn't", "can't", "cannot", "couldn't", "won't", "isn't", "wasn't", "never", "nie"})
_IDLE_WORDS = _GREETINGS | _DAYS | _NEGATIONS


def search_terms(message: str, category: Category) -> tuple[str, ...]:
    """At most eight different words in lower case: those that tell the category first, then the others in their order of appearance.

    E-mail addresses, links and long numbers are left out. A message without any telling word is looked up by its category.
    """
    public = _without_private(unicodedata.normalize("NFC", message))
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(public) if _is_telling(word)))
    evidence = evidence_words(public, category)
    first = [word for word in words if fold(word) in evidence]
    others = [word for word in words if fold(word) not in evidence]
    return tuple((first + others)[:MAX_TERMS]) or (category.value,)


def _without_private(message: str) -> str:
    # Piece by piece, because one pattern for all of it takes seconds on a message without spaces.
    pieces = (piece for piece in message.split() if "@" not in piece and "://" not in piece and not _LONG_NUMBER.search(piece))
    return _GROUPED_NUMBER.sub(" ", " ".join(pieces))


def _is_telling(word: str) -> bool:
    folded = fold(word)
    return _SHORTEST <= len(word) <= MAX_TERM_CHARACTERS and not is_small_word(folded) and folded not in _IDLE_WORDS
