"""Reads the SQL that lies beside the modules; a `{schema}` in it is replaced by the context's schema name."""

from __future__ import annotations

import re
from importlib.resources import files

IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]{0,62}$")


def read_sql(package: str, name: str, schema: str | None = None) -> bytes:
    """The statement in file `name` of `package`, ready to run; ValueError when `schema` is not a plain lower-case identifier."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    if schema is None:
        return text.encode()
    if not IDENTIFIER.match(schema):
        raise ValueError(f"a schema name is a lower-case identifier of at most 63 characters, not {schema!r}")
    return text.replace("{schema}", schema).encode()
