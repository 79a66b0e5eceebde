"""The rule-based model: measured on labelled requests, at its boundaries, and with any text at all."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.fields import MAX_REASON_CHARACTERS
from contracts.money import Money
from contracts.requests.commands import TriageRequest
from contracts.requests.values import MAX_MESSAGE_CHARACTERS, Category, Priority, clean_message
from services.support_agents.answer import (
    CONFIDENCE_WITHOUT_FINDINGS,
    LEAST_SCORE,
    MAX_EXCERPT,
    MAX_FINDINGS,
    MAX_TITLE,
    Answer,
    Finding,
    Refund,
    draft,
    letter,
)
from services.support_agents.answer_texts import TEXTS
from services.support_agents.classify import Classification, classify
from services.support_agents.search import MAX_TERMS, search_terms
from services.support_agents.words import Language

LABELLED = Path(__file__).resolve().parents[3] / "data" / "labelled_requests.jsonl"
LOW_CONFIDENCE = 0.6  # REQ-30: below it a human decides

# A little below what was measured. The vocabulary was made with the requests of `build` in view; those of `held_out` were written when it
# was final, and measured once: 0.796 overall, 0.667 in the weakest category.
FLOORS = {"build": 0.97, "held_out": 0.75}
CATEGORY_FLOORS = {"build": 0.94, "held_out": 0.60}
PRIORITY_FLOORS = {"build": 0.95, "held_out": 0.85}
CONFIDENT_FLOORS = {"build": 0.97, "held_out": 0.80}

categories = st.sampled_from(Category)
priorities = st.sampled_from(Priority)
refunds = st.none() | st.builds(Refund, st.just(Money("99.99")), st.none() | st.just("pay-17"))
# As long as may be quoted whole; what is longer is cut, and has its own test.
findings = st.builds(
    Finding, title=st.text(max_size=MAX_TITLE), text=st.text(max_size=MAX_EXCERPT), score=st.floats(), source=st.text(min_size=1)
)


@dataclass(frozen=True)
class Labelled:
    message: str
    category: Category
    priority: Priority


def labelled(split: str) -> list[Labelled]:
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    return [Labelled(row["message"], Category(row["category"]), Priority(row["priority"])) for row in rows if row["split"] == split]


def classified(message: str, category: Category | None = None, priority: Priority | None = None, **metadata: Any) -> Classification:
    return classify(message, category=category, priority=priority, metadata=metadata)


def share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


# --- measured -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["build", "held_out"])
def test_labelled_requests_are_classified_at_least_as_well_as_measured(split: str) -> None:
    rows = labelled(split)
    results = [(row, classified(row.message)) for row in rows]
    right: dict[Category, list[bool]] = defaultdict(list)
    for row, result in results:
        right[row.category].append(result.category is row.category)
    total = share([each for several in right.values() for each in several])
    urgency = share([result.priority is row.priority for row, result in results])
    confident = [(row, result) for row, result in results if result.confidence >= LOW_CONFIDENCE]
    sure = share([result.category is row.category for row, result in confident])
    for category, several in sorted(right.items()):
        print(f"{split} {category.value}: {sum(several)}/{len(several)} = {share(several):.3f}")
    print(f"{split} overall {total:.3f}, priority {urgency:.3f}, of {len(confident)}/{len(rows)} confident ones right {sure:.3f}")
    assert total >= FLOORS[split]
    assert min(map(share, right.values())) >= CATEGORY_FLOORS[split]
    assert urgency >= PRIORITY_FLOORS[split]
    assert sure >= CONFIDENT_FLOORS[split]


def test_vague_messages_have_low_confidence() -> None:
    low = share([classified(row.message).confidence < LOW_CONFIDENCE for row in labelled("vague")])
    print(f"vague below {LOW_CONFIDENCE}: {low:.3f}")
    assert low >= 0.8


def test_the_labelled_requests_are_valid_different_and_enough() -> None:
    splits = {split: labelled(split) for split in ("build", "held_out", "vague")}
    messages = [row.message for rows in splits.values() for row in rows]
    counted = [row for split in ("build", "held_out") for row in splits[split]]
    assert len(set(messages)) == len(messages)
    assert [clean_message(message) for message in messages] == messages
    assert len(counted) >= 240
    assert len(splits["vague"]) == 20
    assert all(sum(row.category is category for row in counted) >= 35 for category in Category)
    assert all(row.priority >= Priority.MEDIUM for row in counted if row.category is Category.REFUND)


# --- any text -----------------------------------------------------------------------------------------------------------


@given(
    st.text(max_size=400),
    st.none() | categories,
    st.none() | priorities,
    st.dictionaries(st.sampled_from(["amount", "order_id"]), st.text()),
)
def test_any_text_gives_a_valid_classification_and_always_the_same(
    message: str, category: Category | None, priority: Priority | None, metadata: dict[str, str]
) -> None:
    result = classify(message, category=category, priority=priority, metadata=metadata)
    assert result == classify(message, category=category, priority=priority, metadata=metadata)
    assert isinstance(result.category, Category)
    assert isinstance(result.priority, Priority)
    assert 0.0 <= result.confidence <= 1.0
    assert result.category is not Category.REFUND or result.priority >= Priority.MEDIUM
    assert 0 < len(result.reason) <= MAX_REASON_CHARACTERS
    assert result.reason.isprintable()


@given(st.lists(st.sampled_from([row.message for row in labelled("build")]), max_size=4), st.none() | categories, st.none() | priorities)
def test_mixed_requests_keep_the_refund_rule_and_the_range(
    messages: list[str], category: Category | None, priority: Priority | None
) -> None:
    result = classified("\n".join(messages), category, priority)
    assert 0.0 <= result.confidence <= 1.0
    assert result.category is not Category.REFUND or result.priority >= Priority.MEDIUM
    assert len(result.reason) <= MAX_REASON_CHARACTERS


@given(st.text(max_size=400), categories)
def test_any_text_gives_search_terms(message: str, category: Category) -> None:
    terms = search_terms(message, category)
    assert 1 <= len(terms) <= MAX_TERMS
    assert len(set(terms)) == len(terms)
    assert all(terms)


# --- boundaries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["", " ", "\n\t", "???", "…", "\0", "\ud800", "12345", "🙂🙂🙂"])
def test_a_message_without_words_is_general_and_not_confident(message: str) -> None:
    result = classified(message)
    assert result.category is Category.GENERAL
    assert result.priority is Priority.MEDIUM
    assert result.confidence < LOW_CONFIDENCE
    assert "nothing in the message" in result.reason


def test_the_longest_message_is_classified() -> None:
    message = ("Please refund the invoice, the app crashes. " * 300)[:MAX_MESSAGE_CHARACTERS]
    assert classified(message).category is Category.REFUND


@pytest.mark.parametrize("category", [*Category])
def test_without_words_the_customers_category_stands_but_is_not_enough(category: Category) -> None:
    result = classified("Please help me.", category)
    assert result.category is category
    assert result.confidence < LOW_CONFIDENCE


def test_a_category_that_the_customer_gave_is_evidence() -> None:
    alone, agreed = classified("The payment is missing."), classified("The payment is missing.", Category.BILLING)
    assert alone.category is agreed.category is Category.BILLING
    assert agreed.confidence > alone.confidence
    assert "the customer chose it too" in agreed.reason


def test_a_category_that_the_customer_gave_may_be_overridden() -> None:
    result = classified("I forgot my password and cannot log in.", Category.PRODUCT)
    assert result.category is Category.ACCOUNT
    assert "overrides the customer's choice product" in result.reason


def test_a_refund_is_never_below_medium() -> None:
    result = classified("No hurry, but please refund my order.", priority=Priority.LOW)
    assert (result.category, result.priority) == (Category.REFUND, Priority.MEDIUM)
    assert "a refund is at least medium" in result.reason


@pytest.mark.parametrize(
    ("message", "given_priority", "expected"),
    [
        ("The export fails, please fix it by tomorrow.", None, Priority.HIGH),
        ("Der Export bricht ab, bitte dringend beheben.", None, Priority.HIGH),
        ("The export fails, this is urgent.", Priority.LOW, Priority.HIGH),
        ("The export fails, this is urgent.", Priority.CRITICAL, Priority.CRITICAL),
        ("Production is down and we are losing money.", Priority.HIGH, Priority.CRITICAL),
        ("The export fails, but it is not urgent.", None, Priority.LOW),
        ("Der Export bricht ab, das ist nicht dringend.", None, Priority.LOW),
        ("The export fails, no rush.", Priority.HIGH, Priority.HIGH),
        ("The export fails.", None, Priority.MEDIUM),
        ("The export fails.", Priority.LOW, Priority.LOW),
    ],
)
def test_urgency_words_and_deadlines_set_the_priority(message: str, given_priority: Priority | None, expected: Priority) -> None:
    assert classified(message, priority=given_priority).priority is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("I don't want a refund, I only want my account closed.", Category.ACCOUNT),
        ("This is not about billing, the app crashes.", Category.TECHNICAL),
        ("Ich möchte keine Erstattung, sondern die korrigierte Rechnung.", Category.BILLING),
        ("Instead of a refund please send me the invoice.", Category.BILLING),
    ],
)
def test_what_the_customer_denies_is_no_evidence(message: str, expected: Category) -> None:
    assert classified(message).category is expected


def test_umlauts_case_and_apostrophes_make_no_difference() -> None:
    assert classified("Ich möchte mein Geld zurück") == classified("ICH MOECHTE MEIN GELD ZURUECK")
    assert classified("I can\N{RIGHT SINGLE QUOTATION MARK}t log in") == classified("I can't log in")


def test_an_amount_alone_says_nothing_and_supports_what_is_said() -> None:
    assert classified("Hello?", amount="99.99").category is Category.GENERAL
    assert classified("My payment", amount="99.99").confidence > classified("My payment").confidence


def test_the_reason_names_the_evidence_and_nothing_private() -> None:
    reason = classified("Please refund john@example.com the money I, John Doe, paid back in May").reason
    assert "refund" in reason
    assert "john" not in reason.lower()
    assert "doe" not in reason.lower()


def test_a_classification_fits_the_triage_command() -> None:
    result = classified("I was charged twice this month, please correct the invoice by tomorrow.")
    fields = TriageRequest.model_fields
    assert {"confidence", "reason"} <= fields.keys()
    assert result.category is Category.BILLING
    assert result.priority is Priority.HIGH


# --- search terms -------------------------------------------------------------------------------------------------------


def test_search_terms_begin_with_the_evidence() -> None:
    terms = search_terms("Good morning, since Monday our dashboard shows error 500 in Firefox", Category.TECHNICAL)
    assert {"error", "dashboard", "firefox"} <= set(terms[:4])
    assert "good" not in terms


def test_search_terms_leave_out_addresses_links_and_long_numbers() -> None:
    terms = search_terms(
        "Card 4111 1111 1111 1111, mail jo@example.com, see https://example.com/x, order 12345678, invoice", Category.BILLING
    )
    assert "invoice" in terms
    assert not [term for term in terms if any(char.isdigit() for char in term) or "example" in term]


@pytest.mark.parametrize(
    "message", ["a" * 10_000, "1" * 10_000, "1 " * 5_000, "a1" * 5_000, "@" * 10_000, "not " * 2_500, "12345a" * 1_600]
)
@pytest.mark.timeout(5)
def test_no_message_takes_long(message: str) -> None:
    assert classified(message).confidence < LOW_CONFIDENCE
    assert search_terms(message, Category.GENERAL) == ("general",)
    assert answer(message, Category.GENERAL, [], None).sources == ()


def test_without_a_telling_word_the_category_is_looked_up() -> None:
    assert search_terms("", Category.REFUND) == ("refund",)
    assert search_terms("Can you?", Category.ACCOUNT) == ("account",)


# --- answers ------------------------------------------------------------------------------------------------------------

RESET = Finding(
    "Resetting a password", "Open the sign-in page and choose Forgot password. The link is valid for one hour.", 0.82, "kb/reset"
)


def test_an_answer_quotes_its_findings_and_names_their_sources() -> None:
    other = Finding("Lost phone", "Use a recovery code.", 0.4, "kb/phone")
    result = answer("I forgot my password", Category.ACCOUNT, [other, RESET], None)
    assert result.text.index("Resetting a password: Open the sign-in page") < result.text.index("Lost phone: Use a recovery code.")
    assert result.sources == ("kb/reset", "kb/phone")
    assert result.confidence == pytest.approx(0.85)


def test_without_findings_the_answer_says_so_and_what_happens_next() -> None:
    result = answer("I forgot my password", Category.ACCOUNT, [], None)
    assert "We have not found a reliable answer" in result.text
    assert "A member of our team" in result.text
    assert result.sources == ()
    assert result.confidence == CONFIDENCE_WITHOUT_FINDINGS < LOW_CONFIDENCE


@pytest.mark.parametrize("score", [LEAST_SCORE - 0.001, 0.0, -1.0, math.nan, math.inf])
def test_a_finding_that_does_not_fit_is_not_used(score: float) -> None:
    result = answer("I forgot my password", Category.ACCOUNT, [Finding("T", "Text.", score, "kb/t")], None)
    assert result == answer("I forgot my password", Category.ACCOUNT, [], None)


def test_a_finding_at_the_least_score_is_used() -> None:
    assert answer("?", Category.ACCOUNT, [Finding("T", "Text.", LEAST_SCORE, "kb/t")], None).sources == ("kb/t",)


def test_no_more_than_the_best_findings_are_used_and_none_twice() -> None:
    many = [Finding(f"T{number}", "Text.", 0.5 + number / 100, f"kb/{number}") for number in range(9)]
    result = answer("?", Category.PRODUCT, [*many, *many], None)
    assert result.sources == ("kb/8", "kb/7", "kb/6")
    assert len(result.sources) == MAX_FINDINGS


def test_a_german_request_is_answered_in_german() -> None:
    assert answer("Ich habe mein Passwort vergessen", Category.ACCOUNT, [], None).text.startswith(TEXTS[Language.GERMAN].greeting)


@pytest.mark.parametrize("category", [*Category])
def test_an_approved_refund_is_told_as_it_is_and_another_one_promises_nothing(category: Category) -> None:
    amount = Money("99.99", "EUR")
    paid = answer("Money back", category, [RESET], Refund(amount, "pay-17"))
    by_staff = answer("Money back", category, [RESET], Refund(amount, None))
    unknown = answer("Money back", category, [RESET], None)
    assert "Your refund of 99.99 EUR was approved and has been paid back. The reference of the payment is pay-17." in paid.text
    assert "Your refund of 99.99 EUR was approved. A member of our team will carry it out." in by_staff.text
    assert "paid back" not in by_staff.text + unknown.text
    assert ("none has been decided yet" in unknown.text) is (category is Category.REFUND)
    assert all(each.text.endswith(TEXTS[Language.ENGLISH].closing) for each in (paid, by_staff, unknown))


def test_a_long_finding_is_cut_at_the_end_of_a_sentence() -> None:
    long = Finding("Title " * 100, "This is a sentence. " * 100, 0.9, "kb/long")
    quoted = next(line for line in answer("?", Category.GENERAL, [long], None).text.splitlines() if line.startswith("- "))
    assert quoted.endswith("This is a sentence.")
    assert len(quoted) <= MAX_TITLE + MAX_EXCERPT + len("- : ")
    assert "Title…" in quoted


def one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


@given(st.text(max_size=200), categories, st.lists(findings, max_size=5), refunds)
def test_an_answer_holds_only_findings_and_fixed_texts(
    message: str, category: Category, found: list[Finding], refund: Refund | None
) -> None:
    result = answer(message, category, found, refund)
    assert result == answer(message, category, found, refund)
    assert 0.0 <= result.confidence <= 1.0
    assert set(result.sources) <= {each.source for each in found}
    assert len(result.text) <= MAX_MESSAGE_CHARACTERS
    assert any(only_known_text(result.text, language, category, found, refund) for language in Language)


def answer(message: str, category: Category, found: Sequence[Finding], refund: Refund | None) -> Answer:
    """The whole answer, as the resolution agent puts it together."""
    drafted = draft(message, category, found)
    return replace(drafted, text=letter(message, category, drafted.text, refund))


def only_known_text(text: str, language: Language, category: Category, found: list[Finding], refund: Refund | None) -> bool:
    texts = TEXTS[language]
    quotes = {f"- {one_line(each.title)}: {one_line(each.text)}" for each in found} | {f"- {one_line(each.text)}" for each in found}
    fixed = {"", texts.greeting, texts.subject[category], texts.found, texts.not_found, texts.useful[category], texts.closing}
    fixed.add(texts.refund_unknown)
    if refund is not None:
        amount = f"{refund.amount.amount:f} {refund.amount.currency}"
        fixed |= {texts.refund_by_staff.format(amount=amount), texts.refund_paid.format(amount=amount, payment=refund.payment_id)}
    # Only what stands between line feeds is a line here: a finding may hold other separators.
    return all(line in fixed or line in quotes for line in text.split("\n"))
