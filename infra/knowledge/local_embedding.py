"""The embedding that needs no key and no download: texts in, unit vectors out, in pure Python; used wherever no model is configured.

It is lexical, not semantic: texts are alike when they share words, word pairs or pieces of words (so "refunds" finds "refund" and
"Rückerstattung" finds "Erstattung"); it knows no synonyms and no translations. Each word, pair and piece is hashed to a place of the
vector and to a sign (feature hashing), so what meets in one place by chance cancels out on average.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from infra.knowledge.stop_words import STOP_WORDS

DIMENSION = 512
NAME = f"local-lexical-{DIMENSION}-v1"
"""Stored beside every vector; counts up with any change below, in the stop words or in the splitting of words."""

MAX_WORD_CHARACTERS = 40

_GRAM_SIZES = (3, 4, 5)
# Pieces together weigh as much as this share of their word, and a pair of neighbours as much as this share of a word.
_GRAMS_SHARE = 0.8
_PAIR_SHARE = 0.5
# In a thread once it takes more than about a millisecond, so that the event loop goes on.
_CHARACTERS_AT_ONCE = 1_000
_WORD = re.compile(r"[^\W_]+")
_FOLDED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})

Features = tuple[tuple[int, float], ...]


class LocalEmbedding:
    """Deterministic on every machine and in every process; about a millisecond for a passage."""

    name = NAME
    dimension = DIMENSION

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See the port."""
        if sum(map(len, texts)) <= _CHARACTERS_AT_ONCE:
            return [embed_text(text) for text in texts]
        return await asyncio.to_thread(lambda: [embed_text(text) for text in texts])


def embed_text(text: str) -> list[float]:
    """The vector of one text: length one, or all zeros when the text has no telling word."""
    vector = [0.0] * DIMENSION
    words = telling_words(text)
    for word, count in Counter(words).items():
        _add(vector, _word_features(word), 1.0 + math.log(count))
    for pair, count in Counter(pairwise(words)).items():
        _add(vector, (_hashed(f"{pair[0]} {pair[1]}", _PAIR_SHARE),), 1.0 + math.log(count))
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else vector


def telling_words(text: str) -> list[str]:
    """The words in order, folded (case, umlauts, accents), without stop words."""
    composed = unicodedata.normalize("NFC", text).lower().translate(_FOLDED)
    plain = composed if composed.isascii() else _without_accents(composed)
    return [word[:MAX_WORD_CHARACTERS] for word in _WORD.findall(plain) if word not in STOP_WORDS]


def _without_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def _add(vector: list[float], features: Features, weight: float) -> None:
    for place, value in features:
        vector[place] += weight * value


@lru_cache(maxsize=50_000)
def _word_features(word: str) -> Features:
    """A word and its pieces. Longer words weigh more: they are rarer, and say more about what a text is about."""
    weight = math.log2(1 + min(len(word), 12)) / 3
    marked = f"<{word}>"
    grams = sorted({marked[at : at + size] for size in _GRAM_SIZES for at in range(len(marked) - size + 1)} - {marked})
    if not grams:
        return (_hashed(marked, weight),)
    each = weight * _GRAMS_SHARE / math.sqrt(len(grams))
    return (_hashed(marked, weight), *(_hashed(gram, each) for gram in grams))


def _hashed(feature: str, weight: float) -> tuple[int, float]:
    """The place and the signed weight of a feature; Python's own hash differs from process to process."""
    number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
    return (number >> 1) % DIMENSION, weight if number & 1 else -weight
