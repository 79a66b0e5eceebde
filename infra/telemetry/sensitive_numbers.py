"""Finds card numbers, IBANs and phone numbers in a text and hides them; pure, three rules of the scrubber.

Numbers are everywhere in a log, so that form alone would hide offsets and times. Cards and IBANs have check digits, which are counted;
phone numbers are known by how people write them: with a plus, a leading zero or brackets, and in groups.
"""

from __future__ import annotations

import re

_CARD_RUN = re.compile(r"(?<![A-Za-z0-9])\d[\d \-]{12,}+")
_DIGITS = re.compile(r"\d+")
_CARD_START = re.compile(r"3[0-9]|4|5[0-9]|6|2[2-7]")
_CARD_LENGTHS = range(13, 20)

_IBAN = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})\d\d(?=[ \-]?[A-Za-z0-9])")
# Country -> how many letters and digits its account numbers have.
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 "
        "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 "
        "MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 "
        "SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}
_IBAN_RESTS = {
    length: re.compile(rf"(?:[ \-]?[A-Za-z0-9]){{{length - 4}}}(?![A-Za-z0-9])") for length in sorted(set(_IBAN_LENGTHS.values()))
}
_NOT_OF_IBAN = re.compile(r"[ \-]")

_FREE = r"(?<![\w.:/@+\-])"
_PHONE = re.compile(
    # +49 170 1234567, 0049 (170) 123-4567
    r"(?<![\w+])(?:\+|(?<![\w.:/@\-])00(?=[1-9]))\d[\d ()./\-]{6,20}\d(?![\w])"
    # 0170 1234567, (030) 123 456 78
    rf"|{_FREE}\(?0[1-9]\d{{1,4}}\)?[ /.\-]{{1,2}}\d[\d \-/.]{{3,14}}\d(?![\w])"
    # 01701234567
    rf"|{_FREE}0[1-9]\d{{7,12}}(?!\w|[.\-]\w)"
    # (555) 123-4567, 555-123-4567
    rf"|{_FREE}\(?[2-9]\d\d\)?[ .\-]{{1,2}}\d{{3}}[ .\-]\d{{4}}(?!\w|[.\-]\w)"
)
_PHONE_DIGITS = range(7, 17)


# Fewer digits than this in one place are none of the three.
_SEVEN_DIGITS = re.compile(r"\d(?:[ ()./\-A-Za-z]{0,3}\d){6}")


def hide_numbers(text: str) -> str:
    """Replace card numbers, IBANs and phone numbers by `[card]`, `[iban]`, `[phone]`."""
    return hide_phones(hide_cards(hide_ibans(text))) if _SEVEN_DIGITS.search(text) else text


def hide_cards(text: str) -> str:
    """Replace every number that has a card's length, beginning and check digit."""
    return _CARD_RUN.sub(_without_cards, text)


def _without_cards(run: re.Match[str]) -> str:
    groups = list(_DIGITS.finditer(run[0]))
    parts: list[str] = []
    text, place, number = run[0], 0, 0
    while number < len(groups):
        last = _end_of_card(groups, number)
        if last is not None:
            parts += (text[place : groups[number].start()], "[card]")
            place = groups[last].end()
            number = last
        number += 1
    return "".join(parts) + text[place:]


def _end_of_card(groups: list[re.Match[str]], first: int) -> int | None:
    """The group with which a card number ends that begins with the group `first`."""
    digits = ""
    for number in range(first, min(len(groups), first + _CARD_LENGTHS.stop)):
        digits += groups[number][0]
        if len(digits) >= _CARD_LENGTHS.stop:
            return None
        if len(digits) in _CARD_LENGTHS and _CARD_START.match(digits) and _luhn(digits):
            return number
    return None


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def hide_ibans(text: str) -> str:
    """Replace every account number whose country and check digits are right."""
    parts: list[str] = []
    place = 0
    for found in _IBAN.finditer(text):
        end = _end_of_iban(text, found) if found.start() >= place else None
        if end is not None:
            parts += (text[place : found.start()], "[iban]")
            place = end
    return "".join(parts) + text[place:] if parts else text


def _end_of_iban(text: str, beginning: re.Match[str]) -> int | None:
    length = _IBAN_LENGTHS.get(beginning[1].upper())
    rest = None if length is None else _IBAN_RESTS[length].match(text, beginning.end())
    if rest is None:
        return None
    compact = _NOT_OF_IBAN.sub("", beginning[0] + rest[0]).upper()
    return rest.end() if _remainder_97(compact) == 1 else None


def _remainder_97(iban: str) -> int:
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97


def hide_phones(text: str) -> str:
    """Replace what is written as a phone number."""
    return _PHONE.sub(lambda found: "[phone]" if sum(map(str.isdigit, found[0])) in _PHONE_DIGITS else found[0], text)
