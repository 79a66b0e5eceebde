"""Composes the answer to a customer: a message, what research found and what became of a refund in, a text out; pure, run by resolution."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.money import Money
from contracts.requests.values import Category
from services.support_agents.answer_texts import TEXTS, AnswerTexts
from services.support_agents.words import language_of

LEAST_SCORE = 0.25
"""Findings below this are about something else, and an answer made of them would mislead."""
MAX_FINDINGS = 3
MAX_TITLE, MAX_EXCERPT, MAX_REFERENCE = 120, 700, 200
CONFIDENCE_WITHOUT_FINDINGS = 0.2
MOST_CONFIDENT = 0.95

_FURTHER_FINDING = 0.03  # a second article that fits makes the first a little more likely
_SENTENCE_END = re.compile(r"[.!?](?= )")


@dataclass(frozen=True, slots=True)
class Finding:
    """A piece of knowledge that research found. The score says how well it fits, 0.0 to 1.0; the source, where it stands."""

    title: str
    text: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The text for the customer, how sure the rules are of it, and the sources of the findings it quotes, best first."""

    text: str
    confidence: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund that a person approved. Without a payment nobody has paid it yet: a member of the team will."""

    amount: Money
    payment_id: str | None


def draft(message: str, category: Category, findings: Sequence[Finding]) -> Answer:
    """An answer of fixed sentences and findings, in the language of the message; nothing that the customer wrote is repeated.

    Without a finding that fits, the answer says so and what happens next, with a confidence below 0.6: the caller hands the request to
    a human. What is said of a refund, and the closing, are added by `letter`.
    """
    texts = TEXTS[language_of(message)]
    used = _best(findings)
    paragraphs = [f"{texts.greeting}\n{texts.subject[category]}"]
    if used:
        paragraphs.append("\n".join((texts.found, *(_quote(texts, each) for each in used))))
    else:
        paragraphs.append(f"{texts.not_found}\n{texts.useful[category]}")
    sources = tuple(dict.fromkeys(each.source for each in used))
    return Answer("\n\n".join(paragraphs), _confidence(used), sources)


def letter(message: str, category: Category, text: str, refund: Refund | None) -> str:
    """A drafted text, then what is true of a refund, then the closing; whoever drafted it, these two are fixed sentences."""
    texts = TEXTS[language_of(message)]
    return "\n\n".join(part for part in (text, _refund(texts, category, refund), texts.closing) if part)


def _best(findings: Sequence[Finding]) -> list[Finding]:
    fitting = [each for each in findings if _score(each) >= LEAST_SCORE and _plain(each.text)]
    ranked = sorted(fitting, key=lambda each: (-_score(each), each.title, each.source, each.text))
    different: dict[tuple[str, str], Finding] = {}
    for each in ranked:
        different.setdefault((each.title, each.text), each)
    return list(different.values())[:MAX_FINDINGS]


def _score(finding: Finding) -> float:
    return min(1.0, finding.score) if math.isfinite(finding.score) else 0.0


def _confidence(used: Sequence[Finding]) -> float:
    if not used:
        return CONFIDENCE_WITHOUT_FINDINGS
    return round(min(MOST_CONFIDENT, _score(used[0]) + _FURTHER_FINDING * (len(used) - 1)), 2)


def _quote(texts: AnswerTexts, finding: Finding) -> str:
    title, text = _excerpt(finding.title, MAX_TITLE), _excerpt(finding.text, MAX_EXCERPT)
    return "- " + (texts.finding.format(title=title, text=text) if title else text)


def _refund(texts: AnswerTexts, category: Category, refund: Refund | None) -> str | None:
    """An approved refund is told in every category; that none was decided, only where the request is about one."""
    if refund is None:
        return texts.refund_unknown if category is Category.REFUND else None
    amount = f"{refund.amount.amount:f} {refund.amount.currency}"
    if refund.payment_id is None:
        return texts.refund_by_staff.format(amount=amount)
    return texts.refund_paid.format(amount=amount, payment=_excerpt(refund.payment_id, MAX_REFERENCE))


def _plain(text: str) -> str:
    """One line without control characters."""
    line = " ".join(text.split())
    if line.isprintable():  # most texts are, and looking at each character costs more than the rest of an answer
        return line
    return " ".join("".join(char if char.isprintable() else " " for char in line).split())


def _excerpt(text: str, limit: int) -> str:
    """The beginning of a text, whole sentences if they fit, else whole words."""
    plain = _plain(text)
    if len(plain) <= limit:
        return plain
    head = plain[:limit]
    ends = [each.end() for each in _SENTENCE_END.finditer(head)]
    return head[: ends[-1]] if ends else head[: limit - 1].rsplit(" ", 1)[0] + "…"
