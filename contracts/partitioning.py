"""The partition of a key, exactly as Kafka's own default partitioner computes it, so that clients of all languages agree."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C


@lru_cache(maxsize=16_384)
def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 hash, unsigned. Cached, because an aggregate's key comes with each of its records."""
    length = len(data)
    words = length >> 2
    h = _SEED ^ length
    for k in unpack_from(f"<{words}I", data):
        k = (k * _M) & _MASK
        h = ((h * _M) ^ ((k ^ (k >> 24)) * _M)) & _MASK
    if length & 3:
        h = ((h ^ int.from_bytes(data[words << 2 :], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key on a topic of that many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
