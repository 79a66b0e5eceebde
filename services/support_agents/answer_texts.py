"""The fixed sentences of answers, by language and category; read by the composer of answers, which adds nothing but findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.requests.values import Category
from services.support_agents.words import Language


@dataclass(frozen=True, slots=True)
class AnswerTexts:
    """What an answer in one language is made of. `finding` and those of refunds have places for what was found."""

    greeting: str
    subject: Mapping[Category, str]
    found: str
    finding: str
    not_found: str
    useful: Mapping[Category, str]
    refund_paid: str
    refund_by_staff: str
    refund_unknown: str
    closing: str


_ENGLISH = AnswerTexts(
    greeting="Hello,",
    subject={
        Category.ACCOUNT: "thank you for your message about your account.",
        Category.BILLING: "thank you for your message about your billing.",
        Category.TECHNICAL: "thank you for reporting this technical problem. We are sorry for the trouble.",
        Category.PRODUCT: "thank you for your interest in our product.",
        Category.REFUND: "thank you for your message about a refund. We are sorry that your purchase did not work out.",
        Category.GENERAL: "thank you for your message.",
    },
    found="This is what our documentation says about it:",
    finding="{title}: {text}",
    not_found="We have not found a reliable answer in our documentation, and we do not want to guess. "
    "A member of our team has to look at your request in person; you do not need to write again.",
    useful={
        Category.ACCOUNT: "If you like, add which sign-in or profile this is about. Please never send us a password or a code.",
        Category.BILLING: "If you like, add the number and date of the invoice or payment. Please never send us full card details.",
        Category.TECHNICAL: "If you like, add the exact error message, when it appeared, and your device and version.",
        Category.PRODUCT: "If you like, add the exact product or plan that you mean.",
        Category.REFUND: "If you like, add the order number and the reason for the return.",
        Category.GENERAL: "If you like, add what this is about and, if there is one, the order number.",
    },
    refund_paid="Your refund of {amount} was approved and has been paid back. The reference of the payment is {payment}.",
    refund_by_staff="Your refund of {amount} was approved. A member of our team will carry it out.",
    refund_unknown="A member of our team decides about every refund; none has been decided yet.",
    closing="This answer was put together automatically. Kind regards, your support team",
)

_GERMAN = AnswerTexts(
    greeting="Guten Tag,",
    subject={
        Category.ACCOUNT: "vielen Dank für Ihre Nachricht zu Ihrem Konto.",
        Category.BILLING: "vielen Dank für Ihre Nachricht zu Ihrer Abrechnung.",
        Category.TECHNICAL: "vielen Dank, dass Sie uns dieses technische Problem melden. Die Umstände tun uns leid.",
        Category.PRODUCT: "vielen Dank für Ihr Interesse an unserem Produkt.",
        Category.REFUND: "vielen Dank für Ihre Nachricht zu einer Erstattung. Es tut uns leid, dass Ihr Kauf nicht gepasst hat.",
        Category.GENERAL: "vielen Dank für Ihre Nachricht.",
    },
    found="Das sagt unsere Dokumentation dazu:",
    finding="{title}: {text}",
    not_found="Wir haben in unserer Dokumentation keine verlässliche Antwort gefunden und möchten nicht raten. "
    "Ihr Anliegen muss ein Mensch aus unserem Team ansehen; Sie brauchen nicht noch einmal zu schreiben.",
    useful={
        Category.ACCOUNT: "Gern können Sie ergänzen, um welche Anmeldung oder welches Profil es geht. "
        "Bitte senden Sie nie Passwörter oder Codes.",
        Category.BILLING: "Gern können Sie Nummer und Datum der Rechnung oder Zahlung ergänzen. "
        "Bitte senden Sie nie vollständige Kartendaten.",
        Category.TECHNICAL: "Gern können Sie die genaue Fehlermeldung, den Zeitpunkt sowie Gerät und Version ergänzen.",
        Category.PRODUCT: "Gern können Sie das genaue Produkt oder den Tarif ergänzen.",
        Category.REFUND: "Gern können Sie die Bestellnummer und den Grund der Rückgabe ergänzen.",
        Category.GENERAL: "Gern können Sie ergänzen, worum es geht, und, falls vorhanden, die Bestellnummer.",
    },
    refund_paid="Ihre Erstattung von {amount} wurde freigegeben und ausgezahlt. Die Zahlung hat die Nummer {payment}.",
    refund_by_staff="Ihre Erstattung von {amount} wurde freigegeben. Ein Mensch aus unserem Team führt sie aus.",
    refund_unknown="Über jede Erstattung entscheidet ein Mensch aus unserem Team; entschieden ist noch nichts.",
    closing="Diese Antwort wurde automatisch zusammengestellt. Freundliche Grüße, Ihr Support-Team",
)

TEXTS: Mapping[Language, AnswerTexts] = {Language.ENGLISH: _ENGLISH, Language.GERMAN: _GERMAN}
