"""Names every read model; the migration creates their tables, the projections worker runs them, the CLI lists and rebuilds them."""

from __future__ import annotations

from infra.read_models.base import ReadModel
from projections.agents.projection import AGENTS
from projections.analytics.projection import ANALYTICS
from projections.approvals.projection import APPROVALS
from projections.customers.projection import CUSTOMERS
from projections.deadlines.projection import DEADLINES
from projections.request_reference.projection import REQUEST_REFERENCE
from projections.requests.projection import REQUESTS
from projections.reviews.projection import REVIEWS
from projections.tasks.projection import TASKS
from projections.tenants.projection import TENANTS
from projections.timeline.projection import TIMELINE

# These are run by the worker of the service that reads them, so that it is complete alone; the others by `agentmesh run projections`.
KEPT_BY_SERVICES = (REQUEST_REFERENCE,)


def read_models() -> tuple[ReadModel, ...]:
    """All read models, in the order in which they are listed."""
    shown = (REQUESTS, APPROVALS, TIMELINE, ANALYTICS, TASKS, AGENTS, CUSTOMERS, TENANTS)
    return (*shown, DEADLINES, REVIEWS, *KEPT_BY_SERVICES)


def read_model(name: str) -> ReadModel:
    """The read model called `name`; KeyError names the ones there are."""
    for model in read_models():
        if model.name == name:
            return model
    raise KeyError(f"there is no read model {name!r}; there are: {', '.join(model.name for model in read_models())}")
