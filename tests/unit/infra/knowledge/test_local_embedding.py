"""The local embedding: the same everywhere, of length one, near for texts that share words and pieces of words."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from operator import mul
from pathlib import Path

import pytest

from infra.knowledge.local_embedding import DIMENSION, LocalEmbedding, embed_text, telling_words

ROOT = Path(__file__).resolve().parents[4]
TEXTS = ["Reset a forgotten password", "Rückerstattung für Bestellung 4711", "x", "a" * 5_000, "שלום 🙂 naïve café", "invoice " * 500]


def cosine(one: str, other: str) -> float:
    return math.fsum(map(mul, embed_text(one), embed_text(other)))


@pytest.mark.parametrize("text", TEXTS)
def test_a_vector_has_the_dimension_and_length_one(text: str) -> None:
    vector = embed_text(text)
    assert len(vector) == DIMENSION == LocalEmbedding.dimension
    assert math.sqrt(math.fsum(value * value for value in vector)) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", "  \n\t", "?! … --", "how do I", "und wie ist das", "🙂🙂"])
def test_a_text_without_a_telling_word_gives_zeros(text: str) -> None:
    assert embed_text(text) == [0.0] * DIMENSION


def test_another_process_with_another_hash_seed_gives_the_same_vector() -> None:
    code = f"from infra.knowledge.local_embedding import embed_text; print([embed_text(text) for text in {TEXTS!r}])"
    done = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert done[0] == done[1] == f"{[embed_text(text) for text in TEXTS]}\n"


def test_the_vector_of_a_text_is_pinned_to_the_name_of_the_embedding() -> None:
    """A changed vector needs a changed name, or stored vectors would be compared with those of another making."""
    assert LocalEmbedding.name == "local-lexical-512-v1"
    weighed = math.fsum(place * value for place, value in enumerate(embed_text("Refund of a wrong invoice, bitte um Rückerstattung")))
    assert weighed == pytest.approx(-407.815046, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "similar", "dissimilar"),
    [
        ("I forgot my password", "Reset a forgotten password", "Track a parcel"),
        ("refunds", "refund of a purchase", "reset of a password"),
        ("Rückerstattung", "Erstattung einer Rechnung", "Sendung verfolgen"),
        ("RUECKERSTATTUNG", "rückerstattung", "Rückfrage"),
        ("invoice is wrong", "a wrong invoice", "a wrong address"),
        ("synchronise files", "synchronisation of a file", "delete a profile"),
        ("The crédit card", "credit cards", "red cart"),
        ("Login schlägt fehl", "Fehler beim Login", "Versand ins Ausland"),
    ],
)
def test_similar_beats_dissimilar(text: str, similar: str, dissimilar: str) -> None:
    assert cosine(text, similar) > cosine(text, dissimilar) + 0.1


def test_word_order_counts_a_little_and_case_and_stop_words_do_not() -> None:
    assert cosine("the PASSWORD was reset", "password reset") == pytest.approx(1.0)
    assert 0.7 < cosine("reset password link", "link password reset") < 1.0


def test_a_repeated_word_counts_less_each_time() -> None:
    once, often = cosine("parcel", "parcel invoice"), cosine("parcel", "parcel invoice " + "invoice " * 20)
    assert once > often > once / 4


def test_unrelated_texts_are_near_to_zero() -> None:
    texts = [f"{one}{two} {two}{one}" for one in ("bor", "kel", "mun", "tas", "vil") for two in ("dan", "lem", "nik", "sto", "fer")]
    others = ["password reset link", "invoice payment card", "parcel tracking number"]
    assert max(abs(cosine(text, other)) for text in texts for other in others) < 0.25


def test_words_are_folded_and_cut() -> None:
    assert telling_words("Ärger mit dem Café-Größenmaß, don't!") == ["aerger", "cafe", "groessenmass"]
    assert telling_words("x" * 100) == ["x" * 40]
    assert telling_words("A\u0308rger") == telling_words("Ärger")


def test_a_long_text_takes_a_bounded_time() -> None:
    text = " ".join(f"word{number} other{number * 7}" for number in range(5_000))
    began = time.process_time()
    embed_text(text)
    assert time.process_time() - began < 20


async def test_many_texts_come_back_in_their_order() -> None:
    texts = [f"text number {number} " * 20 for number in range(50)]
    assert await LocalEmbedding().embed(texts) == [embed_text(text) for text in texts]
    assert await LocalEmbedding().embed([]) == []
    assert await LocalEmbedding().embed(["a parcel", ""]) == [embed_text("a parcel"), [0.0] * DIMENSION]
