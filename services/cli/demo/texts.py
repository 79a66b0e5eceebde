"""What the demo's customers write, and what they are answered: support cases by category, with gaps that the plan fills."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.requests.values import Category

TENANTS = ("acme", "globex", "initech")

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
PRODUCTS = ("the desktop app", "the mobile app", "the web portal", "the reporting add-on", "the API", "the calendar sync")
PLANS = ("Basic", "Team", "Business", "Enterprise")
CHANNELS = ("email", "chat", "phone", "web form")

CASES: Mapping[Category, tuple[str, ...]] = {
    Category.BILLING: (
        "My invoice for {month} is wrong: I was charged {amount} euros although we are on the {plan} plan.",
        "We were billed twice in {month}. Invoice {number} and the one after it are for the same period.",
        "Please send invoice {number} again, our accounting never received it.",
        "The VAT number on invoice {number} is missing, without it we cannot book the invoice.",
        "Our card was declined on the {day}th, but the money has left our account. What happened?",
        "Can we pay by bank transfer from {month} on? Our card expires soon.",
        "Why did the price of {plan} go up by {amount} euros? Nobody told us about a change.",
        "The discount that was agreed for {month} does not show on invoice {number}.",
    ),
    Category.TECHNICAL: (
        "Since this morning {product} shows an empty page after the login. Colleagues in the same office have it too.",
        "{product} answers with error {code} whenever I export more than {amount} rows.",
        "Uploads larger than {amount} MB stop at 99 percent and start again from the beginning.",
        "Synchronisation has been stuck since the {day}th of {month}; the last entry is from Friday.",
        "{product} has become very slow, opening a customer takes about {seconds} seconds.",
        "After the update {product} closes by itself as soon as I open the settings.",
        "Webhooks arrive twice since {month}, with the same id but {seconds} seconds apart.",
        "We see error {code} for about one request in ten. It began on the {day}th.",
    ),
    Category.ACCOUNT: (
        "I cannot log in any more. The reset link says that it has expired, although I opened it within a minute.",
        "A colleague has left the company, please move her {amount} documents to my account.",
        "Please change the address of our account to our new office from {month} on.",
        "Two-factor login asks for a code from my old telephone. How do I register the new one?",
        "We need {seconds} more seats on the {plan} plan from next week.",
        "Our account shows the name of the company we were before the merger. Can you correct it?",
        "Somebody logged in to my account on the {day}th from a place where I have never been. Please have a look.",
    ),
    Category.PRODUCT: (
        "Does {product} support single sign-on on the {plan} plan, or do we have to upgrade?",
        "Is there a way to schedule the monthly report for the {day}th of each month?",
        "We would like to import {amount} contacts from our old system. Which format do you take?",
        "How long are deleted files kept before they are gone for good?",
        "Can {product} be used offline? Our technicians often have no network.",
        "Which limits does the API have on the {plan} plan? We plan about {amount} calls a minute.",
        "Is there an audit log that shows who changed a setting in {month}?",
    ),
    Category.REFUND: (
        "We cancelled on the {day}th of {month} and were charged again. Please refund the {amount} euros of invoice {number}.",
        "I bought the {plan} plan by mistake and have not used it. I would like my {amount} euros back.",
        "{product} was down for two days in {month}. We ask for a refund of the days that we paid for.",
        "The add-on does not do what the description says, so please take back order {number} and refund it.",
        "Your colleague promised a refund of {amount} euros on the phone on the {day}th, but nothing has arrived.",
    ),
    Category.GENERAL: (
        "Thank you for the quick help last week. One question remains: who is our contact from {month} on?",
        "Where can I find your data processing agreement? Our legal team asks for it.",
        "Do you offer training for new colleagues? We will be {seconds} people from {month} on.",
        "Your newsletter comes in English, could we have it in German?",
        "What are your support hours during the holidays at the end of {month}?",
        "We are writing a case study about {product} and would like to quote somebody of your team.",
    ),
}

REFUND = "I returned order A-1001 last week because it was faulty. Please refund the 49.90 that I paid, I want my money back."
SCRIPT_TEXTS = (
    "My page is broken, see <script>alert('hello')</script> in the footer.",
    "Please open this link: javascript:document.location='elsewhere' and tell me what you see.",
)
BAD_CUSTOMERS = ("customer 42", "0042", "cust-")
