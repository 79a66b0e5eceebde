"""Reads what the commands of a batch need of other contexts: commands and states in, values by key out; part of the command worker."""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Sequence
from typing import Any

from infra.postgres.base import QueryPort
from infra.runtime.base import ReferenceData
from infra.runtime.decide import References
from infra.runtime.decode import Incoming

logger = logging.getLogger(__name__)


class ReferenceReader:
    """The reference data of one context, over its database."""

    def __init__(self, declared: ReferenceData, database: QueryPort) -> None:
        self._declared = declared
        self._database = database

    def is_needed_by(self, items: Sequence[Incoming]) -> bool:
        """Whether one of these commands is decided on reference data."""
        needed_by = self._declared.needed_by
        return any(type(item.command) in needed_by for item in items)

    def keys(self, state: Any, items: Sequence[Incoming]) -> set[Hashable]:
        """What to ask for before an aggregate's commands are decided on `state`."""
        return {key for item in items if (key := self._key(state, item)) is not None}

    def _key(self, state: Any, item: Incoming) -> Hashable | None:
        declared, command = self._declared, item.command
        if command is None or type(command) not in declared.needed_by:
            return None
        try:
            return declared.key(state, command)
        except Exception as error:  # raised again when the command is decided, and a defect of that one alone
            logger.debug("no key of reference data for %s: %r", item.metadata.message_id, error)
            return None

    async def read(self, keys: Collection[Hashable]) -> References:
        """The values of these keys. Raises TransientError when the database is away."""
        found = await self._declared.read(self._database, keys) if keys else {}
        return References(self._declared, {key: found.get(key) for key in keys})
