"""Turns psycopg's errors into the three that the runtime acts on: wait and try again, give up this record, or stop with advice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from infra.errors import DataError, MeshError, TransientError

# SQLSTATE classes that the data itself causes: a data exception, or a violated constraint. Everything else may pass by itself or by an
# operator's hand (a missing table, a full disk, a lost privilege), so the worker keeps its place and tries again.
DATA_CLASSES = ("22", "23")

# Raised by mesh.advance_checkpoints.
CHECKPOINT_MOVED = "AM001"


class CheckpointMoved(MeshError):
    """Another worker has moved this read model's checkpoint: the partition is not this worker's any more."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate what psycopg raises inside the block."""
    try:
        yield
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise TransientError(f"no database connection: {error}") from error
    except psycopg.Error as error:
        if error.sqlstate == CHECKPOINT_MOVED:
            raise CheckpointMoved(str(error)) from error
        if isinstance(error, (psycopg.DataError, psycopg.IntegrityError)) or (error.sqlstate or "").startswith(DATA_CLASSES):
            raise DataError(f"the database refused the data: {type(error).__name__} ({error.sqlstate}): {error}") from error
        raise TransientError(f"the database did not do it: {type(error).__name__} ({error.sqlstate}): {error}") from error
