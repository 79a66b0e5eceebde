"""Which open requests were decided on a tier that their customer is not in any more; asked by the scheduler."""

from __future__ import annotations

from typing import NamedTuple

from infra.postgres.base import QueryPort

# The tier is taken from the table that decisions read, not from the customers' own read model: a review that is asked for
# then finds the new tier there.
OUTDATED = b"""
SELECT r.request_id, r.tenant_id, c.version FROM read_reviews.reviews r
JOIN read_requests.requests q ON q.request_id = r.request_id
JOIN read_request_reference.customers c ON c.customer_id = q.customer_id AND c.tenant_id = r.tenant_id
WHERE r.status = 'open' AND c.tier <> r.customer_tier LIMIT %(limit)s
"""


class OutdatedRequest(NamedTuple):
    """An open request, and the version of its customer that it was not decided on yet."""

    request_id: str
    tenant_id: str
    customer_version: int


async def outdated_requests(database: QueryPort, limit: int) -> list[OutdatedRequest]:
    """Requests to look at again, in no order."""
    return [OutdatedRequest(*row) for row in await database.fetch(OUTDATED, {"limit": limit})]
