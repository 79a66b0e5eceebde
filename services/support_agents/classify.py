"""Decides what a request is about, how urgent it is and how sure that is: a message in, a classification out; pure, run by triage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.requests.values import Category, Priority, contradicts_refund_rule
from services.support_agents.lexicon import CRITICAL_WORDS, DENIALS, EVIDENCE, HIGH_WORDS, LOW_WORDS
from services.support_agents.words import CLAUSE_END, Match, Phrase, PhraseIndex, Text, normalise

CUSTOMER_SAID = 1.25
"""A category that the customer gave tells less than one clear phrase: people pick the wrong one, and no evidence stays below 0.6."""
METADATA_SAID = 0.5
NO_EVIDENCE = 0.1
MOST_CONFIDENT = 0.98

_HALF_SURE = 1.0  # evidence of this weight, alone, gives a confidence of one half
_REPEATED = 0.35  # the second and further phrases of a category often say the same thing again
_DENIED_WORDS = 5  # how far a denial reaches within its clause
_BEFORE_URGENCY = 12  # characters before an urgency word in which "not" takes it back
_SHOWN_PHRASES = 4
_METADATA_HINTS: Mapping[str, tuple[Category, ...]] = {
    "amount": (Category.BILLING, Category.REFUND),
    "order_id": (Category.REFUND, Category.GENERAL),
}


def _indexed(phrases: Sequence[Phrase]) -> PhraseIndex[None]:
    return PhraseIndex((each, None) for each in phrases)


_EVIDENCE = {
    category: PhraseIndex((phrase, each.weight) for each in evidence for phrase in each.phrases) for category, evidence in EVIDENCE.items()
}
_DENIALS = _indexed(DENIALS)
_CRITICAL, _HIGH, _LOW = _indexed(CRITICAL_WORDS), _indexed(HIGH_WORDS), _indexed(LOW_WORDS)


@dataclass(frozen=True, slots=True)
class Classification:
    """What triage found. The reason names phrases of the vocabulary, never free text of the customer."""

    category: Category
    priority: Priority
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Found:
    """The evidence for one category: its weight, and the words shown for it, heaviest first."""

    category: Category
    weight: float
    shown: tuple[str, ...]


def classify(message: str, *, category: Category | None, priority: Priority | None, metadata: Mapping[str, Any]) -> Classification:
    """Classifies any text. The customer's category counts as evidence and may be overridden; a refund is never below MEDIUM."""
    text = normalise(message)
    denied = _denied_places(text)
    found = [_with_hints(_evidence(text, each, denied), category, metadata) for each in Category]
    # On equal weights the customer's category wins, then the general one, which promises nothing.
    ranked = sorted(found, key=lambda each: (-each.weight, each.category is not category, each.category is not Category.GENERAL))
    best, second = ranked[0], ranked[1]
    urgency, urgency_reason = _urgency(text, priority)
    decided = urgency
    if contradicts_refund_rule(best.category, urgency):
        decided, urgency_reason = Priority.MEDIUM, f"{urgency_reason}; a refund is at least medium"
    return Classification(
        category=best.category,
        priority=decided,
        confidence=_confidence(best.weight, second.weight),
        reason=f"{_category_reason(best, second, category)}; {urgency_reason}",
    )


def evidence_words(message: str, category: Category) -> frozenset[str]:
    """The normalised words of the message that speak for the category."""
    text = normalise(message)
    denied = _denied_places(text)
    found = (match for match, _ in _EVIDENCE[category].find(text) if match.start not in denied)
    return frozenset(word for match in found for word in match.shown.split())


# --- category -------------------------------------------------------------------------------------------------------


def _evidence(text: Text, category: Category, denied: frozenset[int]) -> _Found:
    """Each place in the text counts once, with the heaviest phrase that covers it."""
    matches = [(weight, match) for match, weight in _EVIDENCE[category].find(text) if match.start not in denied]
    counted: list[tuple[float, Match]] = []
    taken: set[int] = set()
    shown: set[str] = set()
    for weight, match in sorted(matches, key=lambda each: (-each[0], each[1].start, -each[1].end)):
        places = range(match.start, match.end)
        if match.shown not in shown and taken.isdisjoint(places):
            counted.append((weight, match))
            taken.update(places)
            shown.add(match.shown)
    return _Found(category, _total([weight for weight, _ in counted]), tuple(match.shown for _, match in counted))


def _total(weights: Sequence[float]) -> float:
    return weights[0] + _REPEATED * sum(weights[1:]) if weights else 0.0


def _denied_places(text: Text) -> frozenset[int]:
    """The places that a denial such as "I don't want" reaches."""
    places: set[int] = set()
    for match, _ in _DENIALS.find(text):
        clause = text.content[match.end :].split(CLAUSE_END, 1)[0]
        reach = len(" ".join(clause.split(" ")[: _DENIED_WORDS + 1]))
        places.update(range(match.start, match.end + reach))
    return frozenset(places)


def _with_hints(found: _Found, category: Category | None, metadata: Mapping[str, Any]) -> _Found:
    hints = sum(METADATA_SAID for key, hinted in _METADATA_HINTS.items() if found.category in hinted and metadata.get(key) is not None)
    if found.weight == 0.0:
        hints = 0.0  # an amount or an order alone says nothing about what the customer wants
    said = CUSTOMER_SAID if found.category is category else 0.0
    return _Found(found.category, found.weight + said + hints, found.shown)


def _confidence(best: float, second: float) -> float:
    """Much evidence and a clear margin give a high confidence; either alone does not."""
    if best <= 0.0:
        return NO_EVIDENCE
    amount = best / (best + _HALF_SURE)
    margin = (best - second) / best
    return round(min(MOST_CONFIDENT, max(NO_EVIDENCE, amount * (0.45 + 0.55 * math.sqrt(margin)))), 2)


def _category_reason(best: _Found, second: _Found, category: Category | None) -> str:
    if not best.shown:
        said = "the customer chose it" if best.category is category else "nothing in the message names a subject"
        return f"{best.category.value}: {said}"
    reason = f"{best.category.value}: {_quoted(best.shown)}"
    if second.shown:
        reason += f"; next {second.category.value}: {_quoted(second.shown)}"
    if category is not None:
        reason += "; the customer chose it too" if category is best.category else f"; overrides the customer's choice {category.value}"
    return reason


def _quoted(shown: Sequence[str]) -> str:
    return ", ".join(f'"{words}"' for words in shown[:_SHOWN_PHRASES])


# --- priority -------------------------------------------------------------------------------------------------------


def _urgency(text: Text, priority: Priority | None) -> tuple[Priority, str]:
    """Words raise the priority that the customer gave; they lower it only where the customer did not ask for more than MEDIUM."""
    given = Priority.MEDIUM if priority is None else priority
    for level, words in ((Priority.CRITICAL, _CRITICAL), (Priority.HIGH, _HIGH)):
        if level > given and (said := _first(text, words)):
            return level, f'urgent: "{said}"'
    if given is Priority.MEDIUM and (said := _first(text, _LOW)) and not (_first(text, _CRITICAL) or _first(text, _HIGH)):
        return Priority.LOW, f'not urgent: "{said}"'
    return given, "no word changes the usual priority" if priority is None else "no word changes the given priority"


def _first(text: Text, words: PhraseIndex[None]) -> str | None:
    found = (match for match, _ in words.find(text) if not _taken_back(text, match.start))
    return next((match.shown for match in found), None)


def _taken_back(text: Text, start: int) -> bool:
    before = text.content[max(0, start - _BEFORE_URGENCY) : start].rsplit(CLAUSE_END, 1)[-1].split()
    return any(word in ("not", "isn't", "nicht", "kein", "keine", "keinen", "no", "never") for word in before)
