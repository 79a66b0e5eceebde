"""Names every read model; the migration creates their tables, the projections worker runs them, the CLI lists and rebuilds them."""

from __future__ import annotations

from infra.read_models.base import ReadModel
from projections.deadlines.projection import DEADLINES
from projections.requests.projection import REQUESTS


def read_models() -> tuple[ReadModel, ...]:
    """All read models, in the order in which they are listed."""
    return (REQUESTS, DEADLINES)


def read_model(name: str) -> ReadModel:
    """The read model called `name`; KeyError names the ones there are."""
    for model in read_models():
        if model.name == name:
            return model
    raise KeyError(f"there is no read model {name!r}; there are: {', '.join(model.name for model in read_models())}")
