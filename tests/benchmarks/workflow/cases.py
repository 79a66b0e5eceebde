"""The requests that every contender answers: billing and technical questions that the knowledge base knows, so that nobody has to look."""

from __future__ import annotations

from typing import NamedTuple

TENANT = "acme"
SEED = 4
"""Of the request ids."""


class Case(NamedTuple):
    """One customer's question, with the category that the customer chose."""

    message: str
    category: str


CASES = (
    Case("Where do I find the invoice for May? I need the invoice as a PDF for our accounting.", "billing"),
    Case("I was charged twice this month for my subscription, both charges are on my card statement.", "billing"),
    Case("Do you accept PayPal, or which payment methods can I use to pay the invoice?", "billing"),
    Case("How do I cancel my subscription at the end of the month?", "billing"),
    Case("The app crashes every time I open it on my phone.", "technical"),
    Case("I get error 500 from the server when I upload a file.", "technical"),
    Case("My files are not synchronised between laptop and phone.", "technical"),
    Case("The app crashes with an error after the last update, and my files are not synchronised.", "technical"),
)


def case(number: int) -> Case:
    """The case of the request with this number."""
    return CASES[number % len(CASES)]
