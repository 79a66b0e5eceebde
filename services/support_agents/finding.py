"""Turns what a search found into findings for the composer of answers: passages in, findings out; pure, run by the research agent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from infra.knowledge.base import Passage
from services.support_agents.answer import Finding

_HEADING_MARK = re.compile(r"^ {0,3}#{1,6}[ \t]+", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_EMPHASIS = re.compile(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1")


@dataclass(frozen=True, slots=True)
class Scale:
    """What a cosine of one embedding means: at `nothing` the texts are strangers (0.0), at `sure` they speak of the same (1.0)."""

    nothing: float
    sure: float

    def fit(self, cosine: float) -> float:
        """How well the passage fits, 0.0 to 1.0."""
        return min(1.0, max(0.0, (cosine - self.nothing) / (self.sure - self.nothing)))


# A question shares few words with the passage that answers it. Measured on tests/data/knowledge_questions.jsonl: strangers reach a cosine
# of 0.13, seldom 0.24; answers begin at 0.10, half of them are above 0.29. So 0.12 is worth quoting (0.25), and from 0.26 on the
# answer may go out without a human (0.6).
LOCAL_LEXICAL = Scale(nothing=0.02, sure=0.42)


def findings(passages: Iterable[Passage], scale: Scale = LOCAL_LEXICAL) -> list[Finding]:
    """The best passage of each document, best first; Markdown's marks are taken out, because answers are plain text.

    The scale belongs to the embedding that the knowledge base was built with; the default one to the local embedding.
    """
    best: dict[str, Passage] = {}
    for passage in sorted(passages, key=lambda each: (-each.score, each.document_id, each.number)):
        best.setdefault(passage.document_id, passage)
    return [Finding(each.title, _plain(each.text), round(scale.fit(each.score), 4), each.source) for each in best.values()]


def _plain(text: str) -> str:
    return _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", _HEADING_MARK.sub("", text)))
