"""The index of phrases: it finds what looking for each phrase finds."""

from __future__ import annotations

import json
from pathlib import Path

from services.support_agents.lexicon import EVIDENCE
from services.support_agents.words import PhraseIndex, normalise, phrase

LABELLED = Path(__file__).resolve().parents[3] / "data" / "labelled_requests.jsonl"


def test_an_index_finds_every_place_of_every_phrase_in_their_order() -> None:
    phrases = [each for evidence in EVIDENCE.values() for group in evidence for each in group.phrases]
    index = PhraseIndex((each, number) for number, each in enumerate(phrases))
    found = 0
    for line in LABELLED.read_text(encoding="utf-8").splitlines()[::10]:
        text = normalise(json.loads(line)["message"])
        one_by_one = [(match, number) for number, each in enumerate(phrases) for match in each.find(text)]
        assert list(index.find(text)) == one_by_one
        found += len(one_by_one)
    assert found > 100


def test_a_phrase_of_open_words_alone_is_looked_for_in_every_text() -> None:
    index = PhraseIndex([(phrase("datenverlust*"), "loss")])
    assert [value for _, value in index.find(normalise("Ein Datenverlustproblem"))] == ["loss"]
    assert not list(index.find(normalise("Kein Problem")))
