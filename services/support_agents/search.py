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
_PRIVATE = re.compile(r"\S+@\S+|\bhttps?://\S+|\+?\d(?:[\d /-]{5,})\d|\w*\d{6,}\w*")
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_GREETING = frozenset(
    {
        "dear",
        "sir",
        "madam",
        "regards",
        "kind",
        "sincerely",
        "good",
        "morning",
        "afternoon",
        "evening",
        "tag",
        "morgen",
        "freundlichen",
        "gruessen",
        "gruesse",
        "liebe",
        "lieber",
    }
)


def search_terms(message: str, category: Category) -> tuple[str, ...]:
    """At most eight different words in lower case: those that tell the category first, then the others in their order of appearance.

    E-mail addresses, links and long numbers are left out. A message without any telling word is looked up by its category.
    """
    public = _PRIVATE.sub(" ", unicodedata.normalize("NFC", message))
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(public) if _is_telling(word)))
    evidence = evidence_words(public, category)
    first = [word for word in words if fold(word) in evidence]
    others = [word for word in words if fold(word) not in evidence]
    return tuple((first + others)[:MAX_TERMS]) or (category.value,)


def _is_telling(word: str) -> bool:
    folded = fold(word)
    return _SHORTEST <= len(word) <= MAX_TERM_CHARACTERS and not is_small_word(folded) and folded not in _GREETING
