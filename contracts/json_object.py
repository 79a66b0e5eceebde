"""An immutable JSON object as a pydantic field: any JSON object in, the same frozen to its leaves out; used by messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Never

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

MAX_DEPTH = 100


class FrozenDict(dict[str, Any]):
    """A dict that refuses every change. It stays a dict, so that every JSON encoder writes it and it equals a plain dict."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("a frozen JSON object cannot be changed: make a new one")

    __setitem__ = _refuse
    __delitem__ = _refuse
    __ior__ = _refuse
    clear = _refuse
    pop = _refuse
    popitem = _refuse
    setdefault = _refuse
    update = _refuse

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, _: object) -> FrozenDict:
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(freeze_object)

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


EMPTY = FrozenDict()


def freeze_object(value: object) -> FrozenDict:
    """The object, frozen to its leaves: lists become tuples; null is the empty object. Refuses what JSON or Postgres cannot hold."""
    if type(value) is FrozenDict:
        return value
    if value is None:
        return EMPTY
    if not isinstance(value, Mapping):
        raise PydanticCustomError("dict_type", "Input should be a JSON object")
    return _freeze_dict(value, 1) if value else EMPTY


def _freeze_dict(value: Mapping[Any, Any], depth: int) -> FrozenDict:
    for key, item in value.items():
        if type(key) is not str or "\0" in key:
            raise PydanticCustomError("json_key", "Keys should be text without NUL characters")
        kind = type(item)
        if kind is str:
            if "\0" in item:
                raise PydanticCustomError("nul_character", "Text should not contain NUL characters")
        elif kind is not int and kind is not bool and item is not None:
            return _freeze_mixed(value, depth)
    return FrozenDict(value)


def _freeze_mixed(value: Mapping[Any, Any], depth: int) -> FrozenDict:
    frozen: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str or "\0" in key:
            raise PydanticCustomError("json_key", "Keys should be text without NUL characters")
        frozen[key] = _freeze(item, depth + 1)
    return FrozenDict(frozen)


def _freeze(item: object, depth: int) -> Any:
    if item is None or isinstance(item, bool | int):
        return item
    if isinstance(item, str):
        if "\0" in item:
            raise PydanticCustomError("nul_character", "Text should not contain NUL characters")
        return item
    if isinstance(item, float):
        if not math.isfinite(item):
            raise PydanticCustomError("finite_number", "Input should be a finite number")
        return item
    if depth > MAX_DEPTH:
        raise PydanticCustomError("json_depth", "Input should be nested at most {limit} levels deep", {"limit": MAX_DEPTH})
    if isinstance(item, Mapping):
        return _freeze_dict(item, depth)
    if isinstance(item, list | tuple):
        return tuple([_freeze(part, depth + 1) for part in item])
    raise PydanticCustomError("json_value", "Input should be a JSON value")


class _JsonObjectRule:
    """Tells pydantic how to validate and describe a frozen JSON object: one call into `freeze_object`, no second pass."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(freeze_object)

    def __get_pydantic_json_schema__(self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "object", "additionalProperties": True}


JsonObject = Annotated[Mapping[str, Any], _JsonObjectRule()]
"""A field of this type takes any mapping and holds a FrozenDict."""
