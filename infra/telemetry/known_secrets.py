"""Collects the secrets that a process was started with, from its environment and settings, for the scrubber to know them by heart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from infra.telemetry.scrub import known_secrets
from infra.telemetry.sensitive_names import SECRET, kind_of_name

FILE_SUFFIX = "_FILE"
MOST_FILE_BYTES = 16_384


def secrets_of(environment: Mapping[str, str], settings: object = None) -> re.Pattern[str] | None:
    """What to take out of every line, whole: values of variables named like secrets, of the files that such variables name, of secret
    settings, and the passwords in URLs. Users and hosts of those URLs are public; a password that equals one of them is no secret."""
    texts = {*_of_environment(environment), *_of_settings(settings)}
    urls = [text for text in texts | set(environment.values()) if "://" in text]
    values = {part.strip() for text in texts - set(urls) for part in (text, *text.split(","))}
    public: set[str] = set()
    for url in urls:
        password, names = _parts_of(url)
        public |= names
        if password:
            values |= {password, unquote(password), quote(unquote(password), safe="")}
    return known_secrets(values, public)


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if name.endswith(FILE_SUFFIX) and kind_of_name(name.removesuffix(FILE_SUFFIX)) == SECRET:
            yield _content(value)
        elif kind_of_name(name) == SECRET:
            yield value


def _of_settings(settings: object) -> Iterator[str]:
    yield from (value.get_secret_value() for value in vars(settings or object).values() if isinstance(value, SecretStr))


def _content(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_FILE_BYTES).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""


def _parts_of(url: str) -> tuple[str | None, set[str]]:
    try:
        parts = urlsplit(url)
        return parts.password, {name for name in (parts.username, parts.hostname, parts.path.strip("/")) if name}
    except ValueError:
        return None, set()
