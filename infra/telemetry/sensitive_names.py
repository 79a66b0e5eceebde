"""Judges by its name whether a value is a secret or somebody's words or data; pure, asked by the scrubber for keys and for `name=value`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

SECRET: Final = "[secret]"  # noqa: S105
PERSONAL: Final = "[personal]"

_SECRET_WORDS = frozenset(
    [
        "password",
        "passwords",
        "passwd",
        "pwd",
        "pgpassword",
        "passphrase",
        "passcode",
        "secret",
        "secrets",
        "token",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "apikey",
        "jwt",
        "bearer",
        "otp",
        "cvv",
        "cvc",
        "privatekey",
        "accesskey",
    ]
)
# `api_key` is one, `key` (of a record) and `key_id` are not.
_SECRET_KEYS = frozenset(["api", "access", "private", "secret", "signing", "encryption", "auth", "model", "fallback", "session", "master"])
# `token_count` and `secret_version` tell about a secret, not the secret.
_HARMLESS_ENDS = frozenset(
    [
        "count",
        "counts",
        "id",
        "ids",
        "type",
        "kind",
        "limit",
        "limits",
        "length",
        "name",
        "names",
        "version",
        "versions",
        "seconds",
        "at",
        "file",
        "path",
        "url",
        "uri",
        "prefix",
        "expired",
        "expires",
        "expiry",
        "lifetime",
        "used",
        "total",
        "bytes",
    ]
)
_PERSONAL_WORDS = frozenset(["email", "phone", "telephone", "mobile", "iban", "surname", "birthday", "birthdate", "fax", "ssn"])
# Whole names, for their words are harmless elsewhere: these hold what a customer, a member of staff or a model wrote.
_PERSONAL_NAMES = frozenset(
    [
        "message",
        "contact_info",
        "contact",
        "metadata",
        "payload",
        "body",
        "content",
        "contents",
        "prompt",
        "question",
        "answer",
        "comment",
        "note",
        "notes",
        "text",
        "input",
        "input_value",
        "reply",
        "draft",
        "instructions",
        "first_name",
        "last_name",
        "full_name",
        "customer_name",
        "display_name",
        "street",
        "postal_address",
        "date_of_birth",
        "card",
        "card_number",
        "account_number",
    ]
)
# With whatever stands before: `user_prompt`, `response_body`.
_PERSONAL_ENDS = frozenset(["prompt", "prompts", "body"])
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@lru_cache(4096)
def kind_of_name(name: str) -> str | None:
    """The mark to put in the place of what has this name: SECRET, PERSONAL, or None for what may be shown."""
    words = [part.lower() for part in _PARTS.findall(name[-120:])]
    if not words:
        return None
    harmless = words[-1] in _HARMLESS_ENDS
    if not harmless and (not _SECRET_WORDS.isdisjoint(words) or (words[-1] in ("key", "keys") and not _SECRET_KEYS.isdisjoint(words))):
        return SECRET
    # `last_name` ends like `topic_name`. The last part of a path (`payload.message`) counts.
    if words[-1] in _PERSONAL_ENDS or "_".join(words) in _PERSONAL_NAMES or _last_of_path(name) in _PERSONAL_NAMES:
        return PERSONAL
    return None if harmless or _PERSONAL_WORDS.isdisjoint(words) else PERSONAL


def _last_of_path(name: str) -> str:
    return "_".join(part.lower() for part in _PARTS.findall(name.rpartition(".")[2]))
