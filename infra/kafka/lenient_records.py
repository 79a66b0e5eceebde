"""Teaches aiokafka to read records with a header name that is not UTF-8, as other clients can write them; used by every subscription.

aiokafka raises UnicodeDecodeError from its poll, loses the records that it has read before, and stands before that record for ever: one
record of one stranger would stop a partition. Here such a fetch is read again, slowly, with the odd bytes of the name escaped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy

logger = logging.getLogger(__name__)

# Base offset, 8 bytes, and length, 4 bytes, of a record batch.
OVERHEAD = 12


def read_any_header_name() -> None:
    """Put the lenient readers in place, once a process; aiokafka has no setting for it."""
    fetcher.MemoryRecords = _KeptRecords
    fetcher.PartitionRecords = _LenientPartitionRecords


class _KeptRecords(fetcher.MemoryRecords):  # type: ignore[misc]
    """The fast reader, which remembers what it reads."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class _LenientPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Records of one partition; read with the slow reader from the first record on that the fast one cannot read."""

    _records: Any

    def __next__(self) -> ConsumerRecord:
        try:
            return super().__next__()
        except UnicodeDecodeError as error:
            logger.warning("a header name in %s at offset %d is not UTF-8: %r", self._tp, self.next_fetch_offset, error.object)
            self._records = _LenientRecords(self._records.data)
            # It begins with the first batch again and passes over what is below next_fetch_offset.
            self._records_iterator = self._unpack_records()
            return super().__next__()


class _LenientRecords:
    """The batches of a fetch, one by one, as `_unpack_records` asks for them."""

    def __init__(self, data: bytes) -> None:
        self._batches = list(_batches(data))

    def has_next(self) -> bool:
        return bool(self._batches)

    def next_batch(self) -> _LenientBatch:
        return _LenientBatch(self._batches.pop(0))


def _batches(data: bytes) -> Iterator[bytes]:
    """The whole batches of a fetch; the last one may be cut off."""
    start = 0
    while start + OVERHEAD <= len(data):
        end = start + OVERHEAD + int.from_bytes(data[start + 8 : start + OVERHEAD], "big")
        if end > len(data):
            return
        yield data[start:end]
        start = end


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """aiokafka's own reader in Python, on a buffer whose pieces decode whatever they hold."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        if not self._decompressed:
            super()._maybe_uncompress()
            self._buffer = _LenientBuffer(self._buffer)


class _LenientBuffer(bytearray):
    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _LenientText(found) if isinstance(place, slice) else found


class _LenientText(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode("utf-8", "backslashreplace")
