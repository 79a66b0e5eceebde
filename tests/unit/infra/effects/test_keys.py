"""Keys of effects: canonical JSON, hashes, and the text that goes to the outside."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.json_object import freeze_object
from infra.effects.base import Effect, EffectInvalid, canonical_json
from infra.effects.memory import InMemoryEffectLedger
from infra.effects.once import HostEffects, storable
from tests.conformance.effect_runs import MAIL, claim_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4),
    max_leaves=12,
)


class Mail(BaseModel):
    """An input as a model."""

    text: str
    to: str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "é"]}, '{"a":[true,null,"\\u00e9"],"b":1}'),
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (2**80, "1208925819614629174706176"),
        ((1, [2]), "[1,[2]]"),
        (Mail(**MAIL), '{"text":"Your refund is on its way.","to":"ann@example.org"}'),
        ("\ud83d\0", '"\\ud83d\\u0000"'),
    ],
)
def test_canonical_json_is_this_text(value: Any, text: str) -> None:
    assert canonical_json(value) == text


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(part) for name, part in reversed(value.items())}
    return tuple(reordered(part) for part in value) if isinstance(value, list) else value


@given(JSON)
def test_order_and_frozenness_do_not_matter(value: Any) -> None:
    assert canonical_json(reordered(value)) == canonical_json(value)
    if isinstance(value, dict) and "\0" not in canonical_json(value).replace("\\u0000", "\0"):
        assert canonical_json(freeze_object(value)) == canonical_json(value)


@given(JSON, JSON)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert same == (typed(one) == typed(other))


def typed(value: Any) -> Any:
    """The value so that Python's own equality is JSON's: true is not 1."""
    if isinstance(value, dict):
        return {name: typed(part) for name, part in value.items()}
    if isinstance(value, list):
        return [typed(part) for part in value]
    if isinstance(value, float) and abs(value) >= 2**53:
        return ("float", value)
    return (type(value) is bool, value)


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1: "a"}, "the key 1: keys are text"),
        (float("nan"), "holds nan"),
        ([float("inf")], "holds inf"),
        ({"at": datetime(2026, 5, 1, tzinfo=UTC)}, "holds a datetime: give JSON values or pydantic models"),
        (b"bytes", "holds a bytes"),
        ({1, 2}, "holds a set"),
        (endless(), "nested too deeply, or contains itself"),
    ],
)
def test_what_is_no_json_is_refused_with_what_to_do(value: Any, says: str) -> None:
    with pytest.raises(EffectInvalid, match=says):
        canonical_json(value)


def test_each_part_of_the_key_makes_another_effect() -> None:
    parts: list[tuple[str, str, str, int, str]] = [
        ("acme", "task-1", "mail", 1, "{}"),
        ("other", "task-1", "mail", 1, "{}"),
        ("acme", "task-2", "mail", 1, "{}"),
        ("acme", "task-1", "refund", 1, "{}"),
        ("acme", "task-1", "mail", 2, "{}"),
        ("acme", "task-1", "mail", 1, "[]"),
        ("acme", "task-1mail", "", 1, "{}"),
    ]
    assert len({Effect(*each).effect_id for each in parts}) == len(parts)


def test_the_key_is_pinned_because_other_sides_have_it_stored() -> None:
    effect = Effect("acme", "task-1", "mail", 1, canonical_json(MAIL))
    assert effect.input_hash == "cf1a8a8062d71015a78be16e096792a1793578c3f0ae039c6a0c539712f818eb"
    assert effect.effect_id == "eff-4b6c92deb45a563d1f8152c889c33e1850f79cb3"


async def test_the_key_before_the_call_inside_it_and_in_every_attempt_is_the_rows() -> None:
    ledger = InMemoryEffectLedger()
    seen: list[str] = []
    for attempt in (1, 2):
        effects = HostEffects(ledger).of_run(claim_of(attempt))
        for _ in range(2):
            before = effects.key("mail", input=MAIL)

            async def call(effects: Any = effects, before: str = before) -> None:
                assert effects.key("mail", input=MAIL) == before
                assert effects.key("other", input=MAIL) != before

            await effects.once("mail", call, input=MAIL)
            seen.append(before)
    first, second, *again = seen
    assert first != second
    assert again == [first, second]
    assert effects.key("mail", input=MAIL) not in seen


def test_a_text_is_made_storable() -> None:
    assert storable("a\0b \ud83d é") == "a\\x00b \\ud83d é"
