"""The query port: what the queries of read models need of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class QueryPort(Protocol):
    """Runs one read-only statement; raises TransientError when the database cannot be reached."""

    async def fetch(self, query: bytes, parameters: Mapping[str, Any], timeout: float = 30.0) -> Sequence[Sequence[Any]]:
        """All rows."""
        ...


class TenantReads(Protocol):
    """Reads of one tenant's rows; what other tenants have does not exist for them."""

    def of(self, tenant_id: str) -> QueryPort:
        """A query port that sees the rows of this tenant only."""
        ...
