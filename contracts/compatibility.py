"""Finds what a changed message breaks within its version: recorded schema and current schema in, sentences out; run by tests and exports.

A command must accept all that the recorded one accepted: its senders are elsewhere and do not change with us. An event must still be
readable by old subscribers, and today's class must read every recorded event: so its types stay as they are, and fields are only added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "format", "const", "multipleOf")


def broken_by(recorded: Schema, current: Schema, *, command: bool) -> list[str]:
    """One sentence for each incompatible change; empty when the version number can stay."""
    return list(_Comparison(recorded, current, command).of_objects(recorded, current, ""))


class _Comparison:
    """Two documents with their own definitions, walked side by side."""

    def __init__(self, recorded: Schema, current: Schema, command: bool) -> None:
        self._old = _resolver(recorded)
        self._new = _resolver(current)
        self._command = command

    def of_objects(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        """What changed between two object schemas."""
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in sorted(before.keys() - after.keys()):
            yield f"{path}{name} was removed or renamed"
        required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(required_after - required_before):
            yield f"{path}{name} is newly required"
        if not self._command:
            for name in sorted((required_before - required_after) & after.keys()):
                yield f"{path}{name} is no longer always there"
        if old.get("additionalProperties") is not False and new.get("additionalProperties") is False:
            yield f"{path.rstrip('.') or 'the message'} refuses further fields now"
        for name in sorted(before.keys() & after.keys()):
            yield from self._of_fields(before[name], after[name], f"{path}{name}")

    def _of_fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        if self._command and old.get("default") != new.get("default"):
            yield f"{path} has another default"
        before, after = list(self._branches(old, self._old)), list(self._branches(new, self._new))
        for branch in before:
            candidates = [each for each in after if _takes_kind(each, branch)]
            if not candidates:
                yield f"{path} no longer takes {_kind(branch)}"
                continue
            found = [list(self._of_branches(branch, each, path)) for each in candidates]
            if all(found):
                yield from min(found, key=len)
        if not self._command:
            for kind in sorted({_kind(each) for each in after} - {_kind(each) for each in before}):
                yield f"{path} may hold {kind} now, which its readers do not expect"

    def _of_branches(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        yield from _narrowed(old, new, path)
        if "object" in (_kind(old), _kind(new)):
            yield from self.of_objects(old, new, f"{path}.")
        if "items" in new:
            yield from self._of_fields(old.get("items", {}), new["items"], f"{path}[]")

    def _branches(self, schema: Schema, resolve: Callable[[Schema], Schema]) -> Iterator[Schema]:
        """The alternatives that a schema allows, each of one type."""
        resolved = resolve(schema)
        alternatives = resolved.get("anyOf") or resolved.get("oneOf")
        if alternatives:
            for each in alternatives:
                yield from self._branches(each, resolve)
        elif isinstance(resolved.get("type"), list):
            yield from ({**resolved, "type": each} for each in resolved["type"])
        else:
            yield resolved


def _resolver(document: Schema) -> Callable[[Schema], Schema]:
    definitions = document.get("$defs", {})

    def resolve(schema: Schema) -> Schema:
        while "$ref" in schema:
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            schema = {**definitions[schema["$ref"].rsplit("/", 1)[-1]], **rest}
        return schema

    return resolve


def _kind(schema: Schema) -> str:
    return str(schema.get("type", "anything"))


def _takes_kind(new: Schema, old: Schema) -> bool:
    kind = _kind(new)
    return kind in ("anything", _kind(old)) or (kind == "number" and _kind(old) == "integer")


def _narrowed(old: Schema, new: Schema, path: str) -> Iterator[str]:
    """Constraints that take less than they did."""
    if "enum" in new:
        lost = [value for value in old.get("enum", ()) if value not in new["enum"]]
        if lost or "enum" not in old:
            yield f"{path} takes fewer values: {', '.join(map(str, lost)) or 'a list of values is new'}"
    for name in _LOWER_BOUNDS:
        if name in new and (name not in old or new[name] > old[name]):
            yield f"{path} has a higher {name}"
    for name in _UPPER_BOUNDS:
        if name in new and (name not in old or new[name] < old[name]):
            yield f"{path} has a lower {name}"
    for name in _EXACT:
        if name in new and new[name] != old.get(name):
            yield f"{path} has another {name}"
