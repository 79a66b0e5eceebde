"""REQ-49: commands, events, values, states, queries and settings cannot be changed in place; what has a hash never changes."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest
from pydantic import BaseModel

import contracts
import projections
import services
from contracts.registry import COMMANDS, EVENTS
from infra import settings as mesh_settings

CARRIED = ("domain", "values", "commands", "events", "queries", "reference", "policies", "settings")


def modules() -> Iterator[ModuleType]:
    """The modules that hold what is carried about: the language, the states, the queries, the settings."""
    yield mesh_settings
    for package in (contracts, services, projections):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.startswith("contracts.") or found.name.rpartition(".")[2] in CARRIED:
                yield importlib.import_module(found.name)


def classes() -> list[type]:
    """Every model and dataclass that these modules define."""
    found = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and (issubclass(value, BaseModel) or dataclasses.is_dataclass(value))
    }
    return sorted(found, key=lambda each: (each.__module__, each.__qualname__))


def is_frozen(value: type) -> bool:
    if issubclass(value, BaseModel):
        return bool(value.model_config.get("frozen"))
    return bool(value.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def test_what_is_carried_about_is_frozen() -> None:
    found = classes()
    assert len(found) > 150, "the search finds the classes"
    assert {*COMMANDS.values(), *EVENTS.values()} <= set(found)
    assert [f"{each.__module__}.{each.__qualname__}" for each in found if not is_frozen(each)] == []


def test_the_check_finds_a_class_that_can_be_changed() -> None:
    @dataclasses.dataclass
    class Loose:
        name: str

    assert not is_frozen(Loose)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Loose("a"))
