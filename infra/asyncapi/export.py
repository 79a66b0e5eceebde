"""Writes the published schemas: the contracts in, files under contracts/schemas out; never writes over an incompatible change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import contracts
from contracts.compatibility import broken_by
from contracts.registry import COMMANDS
from contracts.schema_export import message_schemas
from infra.asyncapi.document import build_document

SCHEMAS = Path(contracts.__file__).parent / "schemas"
DOCUMENT = "asyncapi.json"


class IncompatibleChange(Exception):
    """A message changed within its version in a way that breaks its senders, its readers or its history."""


def rendered() -> dict[str, str]:
    """The text of every published file by its path under contracts/schemas."""
    files: dict[str, Any] = {str(path): schema for path, schema in message_schemas().items()}
    files[DOCUMENT] = build_document()
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in files.items()}


def recorded_schemas(root: Path) -> dict[str, Mapping[str, Any]]:
    """The schemas as they were published, by their path."""
    return {path.relative_to(root).as_posix(): json.loads(path.read_text(encoding="utf-8")) for path in sorted(root.glob("*/*.json"))}


def incompatible_changes(recorded: Mapping[str, Mapping[str, Any]], current: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence for each published promise that the current contracts break."""
    commands = {f"urn:{name.replace('.', ':')}" for name in COMMANDS}
    found = [f"{path}: the message was removed" for path in recorded if path not in current]
    for path, schema in recorded.items():
        if path in current:
            command = schema.get("$id") in commands
            found += [f"{path}: {sentence}" for sentence in broken_by(schema, current[path], command=command)]
    return found


def write(root: Path = SCHEMAS) -> list[str]:
    """Write what changed; answers the paths. Raises IncompatibleChange, and writes nothing, when a published message would break."""
    files = rendered()
    current = {path: json.loads(text) for path, text in files.items() if path != DOCUMENT}
    broken = incompatible_changes(recorded_schemas(root), current)
    if broken:
        raise IncompatibleChange("\n".join([*broken, "A changed shape is a new .vN with an upcaster from the old one."]))
    changed = [path for path, text in files.items() if not (root / path).exists() or (root / path).read_text("utf-8") != text]
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(files[path], encoding="utf-8")
    return changed
