"""Takes secrets and personal data out of a text or a value and bounds its size; pure, run by the log's last processor on all it writes.

What has a form is known by it: tokens, keys, passwords in URLs, e-mail addresses, phone and card numbers, IBANs. What has none, such as
the words of a customer, is known by the name under which it stands. Every pattern works in linear time. What is taken away leaves a mark
in brackets, so that a reader sees that something was there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import date, datetime
from enum import Enum
from uuid import UUID

from infra.telemetry.sensitive_names import PERSONAL, SECRET, kind_of_name
from infra.telemetry.sensitive_numbers import hide_numbers

MOST_CHARACTERS = 4_096
TRACEBACK_CHARACTERS = 16_384
MOST_NODES = 400
MOST_DEPTH = 8
# A text is never looked at beyond this: what is cut away needs no scrubbing, and a megabyte must not cost a second.
READ_CHARACTERS = 32_768
# The last word before that end may be the first half of a secret, which no pattern would know.
HALF_WORD = 512

Rule = Callable[[str], str]


# --- text -----------------------------------------------------------------------------------------------------------------------------


def scrub_text(text: str, limit: int = MOST_CHARACTERS, known: re.Pattern[str] | None = None) -> str:
    """The text without secrets and personal data, at most `limit` characters of it; `known` are secrets of this process, word by word."""
    length = len(text)
    if length > READ_CHARACTERS:
        text = _without_half_word(text[:READ_CHARACTERS])
    if known is not None:
        text = known.sub(SECRET, text)
    for rule in _RULES:
        text = rule(text)
    return text if length <= limit and len(text) <= limit else cut(text, limit, length)


def cut(text: str, limit: int, length: int | None = None) -> str:
    """The first `limit` characters, and how many there were."""
    length = len(text) if length is None else max(length, len(text))
    return text if length <= limit else f"{text[:limit]}… [{length} characters]"


def cut_middle(text: str, limit: int) -> str:
    """Beginning and end of a traceback: where it was called, and what went wrong."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n… [{len(text) - limit} characters left out] …\n{text[head - limit :]}"


def known_secrets(values: Iterable[str], public: Iterable[str] = ()) -> re.Pattern[str] | None:
    """A pattern of secrets that this process holds. Short ones and those that are public names too would blot out plain words."""
    wanted = {value for value in values if len(value) >= 8} - set(public)
    return re.compile("|".join(re.escape(value) for value in sorted(wanted, key=len, reverse=True))) if wanted else None


def _without_half_word(text: str) -> str:
    end = len(text)
    while end > 0 and len(text) - end < HALF_WORD and not text[end - 1].isspace():
        end -= 1
    return text[:end]


# --- rules, in the order in which they are applied --------------------------------------------------------------------------------------

_ROW = re.compile(r"(Failing row contains |Key \([^()\n]{0,200}\)=)\([^\n]*\)")
_SQL_VALUE = re.compile(r"(parameter \$\d{1,4} = |JSON data, line \d{1,9}: |type [\w ]{1,40}: |Token )(?:'[^\n]*'|\"[^\n]*\"|[^\n]*)")
_PYDANTIC = re.compile(r"input_value=[^\n]*, input_type=")
_RECORD = re.compile(r"ConsumerRecord\(topic='([^'\n]{0,250})', partition=(\d{1,9}), offset=(\d{1,19})[^\n]*")
_BYTES = re.compile(r"(?<![\w])[bB](?:'((?:[^'\\\n]|\\.)*+)'|\"((?:[^\"\\\n]|\\.)*+)\")")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----[^-]{0,20000}(?:-----END [A-Z0-9 ]{1,40}-----)?")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,30}://[^\s:/@'\"]{0,100}):([^\s'\"]{1,300})@")
_SCHEME = re.compile(r"\b(bearer|basic|digest|negotiate)(\s{1,3}|%20|\+)(?!\[)([A-Za-z0-9._~+/=\-]{6,})", re.IGNORECASE)
_SCHEMES = ("bearer", "basic", "digest", "negotiate")
_JWT = re.compile(r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{4,}+\.[A-Za-z0-9_\-]*+(?:\.[A-Za-z0-9_\-]*+)?")
# Ours, whose prefix is no secret; then those of well-known services.
_OWN_KEY = re.compile(r"am_([A-Za-z0-9]{8})_[A-Za-z0-9_\-]{4,}+")
_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_\-]{12,}|[rsp]k_(?:live|test)_[A-Za-z0-9]{8,}|gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|glpat-[A-Za-z0-9_\-]{12,}|xox[a-z]-[A-Za-z0-9\-]{8,}|A(?:KI|SI)A[A-Z0-9]{12,}|AIza[A-Za-z0-9_\-]{30,}|hv[sb]\.[A-Za-z0-9_\-]{16,})"
)
_KEY_BEGINNINGS = ("sk-", "k_live", "k_test", "gh", "glpat-", "xox", "AKIA", "ASIA", "AIza", "hvs.", "hvb.")
# 32 random bytes as `secrets.token_urlsafe` writes them: the form of our client secrets and signing keys.
_RANDOM = re.compile(r"(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]{43}(?![A-Za-z0-9_\-])")
_MIXED = (re.compile("[a-z]"), re.compile("[A-Z]"))
_EMAIL = re.compile(r"(?<![\w.+'%\-])[\w.+'%\-]{1,64}(?:@|%40)(?:[\w\-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w])")
_EMAIL_INSIDE = re.compile(r"[\w.+\-]{1,64}@(?:[\w\-]{1,63}\.){1,8}[^\W\d_]{2,24}")

_MODEL_BODY = re.compile(r"\bbody: [^\n]*")


def _hide_database_values(text: str) -> str:
    if "Failing row" in text or "Key (" in text:
        text = _ROW.sub(rf"\1({PERSONAL})", text)
    if "parameter $" in text or "JSON data" in text or "invalid input" in text or "DETAIL" in text:
        text = _SQL_VALUE.sub(rf"\1{PERSONAL}", text)
    return text


def _hide_payloads(text: str) -> str:
    if "input_value=" in text:
        text = _PYDANTIC.sub(f"input_value={PERSONAL}, input_type=", text)
    if "ConsumerRecord(" in text:
        text = _RECORD.sub(r"ConsumerRecord(topic='\1', partition=\2, offset=\3, …)", text)
    if "body: " in text:
        text = _MODEL_BODY.sub(f"body: {PERSONAL}", text)
    if "b'" in text or 'b"' in text or "B'" in text or 'B"' in text:
        text = _BYTES.sub("[bytes]", text)
    return text


def _hide_urls_and_addresses(text: str) -> str:
    if "@" in text:
        if "://" in text:
            text = _URL.sub(lambda found: f"{found[1]}:{found[2] if found[2] == '***' else SECRET}@", text)
        text = _EMAIL_INSIDE.sub("[email]", _EMAIL.sub("[email]", text))
    return _EMAIL.sub("[email]", text) if "%40" in text else text


def _hide_keys(text: str) -> str:
    if "-----BEGIN" in text:
        text = _PEM.sub(SECRET, text)
    if "eyJ" in text:
        text = _JWT.sub("[token]", text)
    if "am_" in text:
        text = _OWN_KEY.sub(r"am_\1_[key]", text)
    if any(beginning in text for beginning in _KEY_BEGINNINGS):
        text = _KEYS.sub("[key]", text)
    if len(text) >= 43:
        text = _RANDOM.sub(lambda found: SECRET if all(kind.search(found[0]) for kind in _MIXED) else found[0], text)
    lower = text.lower()
    return _SCHEME.sub(rf"\1\2{SECRET}", text) if any(scheme in lower for scheme in _SCHEMES) else text


# --- what stands under a telling name -----------------------------------------------------------------------------------------------------

_NAMED = re.compile(r"(?<![\w.\-])([\w.\-]++)(\\*[\"'])?\s{0,4}(=>?|:|,(?=\s{0,4}\\*[\"']))\s{0,4}")
_OPENER = re.compile(r"[bBrRuU]?(\\*[\"'])")
_CALL = re.compile(r"[A-Za-z_][\w.]{0,60}\(")
_WORD = re.compile(r"[^\s,;&)\]}>\"'\\]*+")
_REST = re.compile(r"[^\n\r\"']*+")
_BRACKETS = re.compile(r"[\[\](){}\"']")
# The values of these have blanks in them and end with the line.
_HEADERS = ("authorization", "cookie")
_CREDENTIALS = re.compile(r"(?:bearer|basic|digest|negotiate|token)\s+\S*", re.IGNORECASE)


def _hide_named(text: str) -> str:
    """Replace the value after each telling name: `password=…`, `"message": "…"`, `Authorization: …`, `contact_info={…}`."""
    parts: list[str] = []
    place = 0
    for found in _NAMED.finditer(text):
        if found.start() < place:
            continue
        name = found[1]
        mark = kind_of_name(name)
        if mark is None or (found[3] == "," and not found[2]):
            continue
        end = _end_of_value(text, found.end(), name, mark, found[3])
        if end > found.end() and text[found.end() : end] not in ("None", "null", "[]", "{}", '""', "''", mark):
            parts += (text[place : found.end()], mark)
            place = end
    return text if not parts else "".join(parts) + text[place:]


def _end_of_value(text: str, start: int, name: str, mark: str, separator: str) -> int:
    opener = _OPENER.match(text, start)
    if opener is not None:
        closing = re.compile(rf"(?<!\\){re.escape(opener[1])}").search(text, opener.end())
        return len(text) if closing is None else closing.end()
    call = _CALL.match(text, start)
    if call is not None or text[start : start + 1] in ("{", "[", "("):
        return _end_of_brackets(text, start if call is None else call.end() - 1)
    if name.lower().endswith(_HEADERS):
        credentials = _CREDENTIALS.match(text, start)
        pattern = _REST if "cookie" in name.lower() or credentials is None else _CREDENTIALS
        return pattern.match(text, start).end()  # type: ignore[union-attr]
    if mark == PERSONAL and separator != "=":
        return start  # a plain colon in a sentence of ours
    return _WORD.match(text, start).end()  # type: ignore[union-attr]


def _end_of_brackets(text: str, start: int) -> int:
    depth, quote = 0, ""
    for found in _BRACKETS.finditer(text, start):
        mark = found[0]
        if quote:
            if mark == quote and text[found.start() - 1] != "\\":
                quote = ""
        elif mark in "\"'":
            quote = mark
        else:
            depth += 1 if mark in "[({" else -1
            if depth == 0:
                return found.end()
    return len(text)


_RULES: tuple[Rule, ...] = (
    _hide_database_values,
    _hide_payloads,
    _hide_keys,
    _hide_named,
    _hide_urls_and_addresses,
    hide_numbers,
)


# --- values ---------------------------------------------------------------------------------------------------------------------------


class Scrubber:
    """Scrubs texts and values with the secrets of one process, which may grow while it runs."""

    def __init__(self, known: re.Pattern[str] | None = None) -> None:
        self.known = known

    def text(self, text: str, limit: int = MOST_CHARACTERS) -> str:
        """The text without secrets and personal data, cut to `limit` characters."""
        return scrub_text(text, limit, self.known)

    def traceback(self, text: str) -> str:
        """A traceback, scrubbed first and shortened then: half of a value would not be known for what it is."""
        if len(text) > READ_CHARACTERS:
            # Values have no line breaks in them, so what begins with a line begins outside of a value.
            head, tail = text[: READ_CHARACTERS // 4], text[-READ_CHARACTERS // 2 :].partition("\n")[2]
            text = f"{self.text(head, READ_CHARACTERS)}\n…\n{self.text(tail, READ_CHARACTERS)}"
        else:
            text = self.text(text, READ_CHARACTERS)
        return cut_middle(text, TRACEBACK_CHARACTERS)

    def value(self, value: object) -> object:
        """The same value in types that JSON has, scrubbed, with a bounded number of parts."""
        return _Walk(self).value(value, 0)


class _Walk:
    """One value, taken apart; counts the parts."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._text = scrubber.text
        self._left = MOST_NODES

    def value(self, value: object, depth: int) -> object:
        self._left -= 1
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return self._number(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        if depth >= MOST_DEPTH:
            return "[deeper]"
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, Sequence | Set):
            return self._many(value, depth)
        return self._text(value.isoformat() if isinstance(value, date | datetime) else text_of(value))

    def _number(self, value: int) -> int | str:
        if abs(value) < 10**11:
            return value
        text = str(value) if abs(value) < 10**40 else "[a very large number]"
        scrubbed = self._text(text)
        return value if scrubbed == text and abs(value) < 2**63 else scrubbed

    def _mapping(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, inner in value.items():
            if self._left <= 0:
                result["…"] = f"[{len(value) - len(result)} more]"
                break
            name = self._text(text_of(key), 200)
            mark = kind_of_name(text_of(key))
            result[name] = self.value(inner, depth + 1) if mark is None or inner in (None, "") else shape_of(inner, mark)
        return result

    def _many(self, value: Sequence[object] | Set[object], depth: int) -> list[object]:
        result: list[object] = []
        for inner in value:
            if self._left <= 0:
                result.append(f"[{len(value) - len(result)} more]")
                break
            result.append(self.value(inner, depth + 1))
        return result


def shape_of(value: object, mark: str) -> str:
    """What is told of a value that is not shown: of words how long they are, of a secret nothing."""
    if mark == PERSONAL and isinstance(value, str):
        return f"[{len(value)} characters]"
    return mark


def text_of(value: object) -> str:
    """A value as text, whatever its `__repr__` does."""
    if isinstance(value, str):
        return str(value.value) if isinstance(value, Enum) else value
    try:
        return str(value) if isinstance(value, BaseException | UUID | Enum) else repr(value)
    except Exception:  # a broken __repr__ must not cost the line
        return f"<{type(value).__name__}>"
